//! `connect` and `test-connection`

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::session::{Session, transport};
use super::{Failure, Global, Outcome, output};
use crate::capability::clock::RealClock;
use crate::capability::http::{Connection, Http};
use crate::capability::logging::{Logging, Silence};
use crate::plugin::{Limits, Powers};
use crate::seal::Secret;
use crate::store::Access;

/// Connects a tenant. The secret comes from `--secret-file`, `HARNESS_SECRET_KEY` or a prompt, never from an argument.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Name or id of the tenant
    #[arg(long)]
    tenant: String,
    /// Address of the installation; ends in /rest/eshop/
    #[arg(long, value_name = "URL", default_value = "https://main.metakocka.si/rest/eshop/")]
    base_url: String,
    /// The company's id in Metakocka
    #[arg(long, value_name = "ID")]
    company_id: String,
    /// File that holds the secret key
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

/// Tests a tenant's connection.
#[derive(Debug, Args)]
pub(crate) struct TestConnection {
    /// Name or id of the tenant
    #[arg(long)]
    tenant: String,
}

/// The base every path is joined to. The CRM used to store the address of one path family; it is accepted and cut.
pub(crate) fn normal_base(url: &str) -> String {
    let url = url.trim();
    let base = url.strip_suffix('/').unwrap_or(url);
    let base = base.strip_suffix("/v1/json").or_else(|| base.strip_suffix("/v1")).unwrap_or(base);
    format!("{base}/")
}

impl Connect {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        if self.company_id.trim().is_empty() {
            return Err(Failure::usage("--company-id is empty: Metakocka shows it under Settings / Web API"));
        }
        let secret = self.secret()?;
        let base_url = normal_base(&self.base_url);
        let connection =
            Connection::new(&base_url, self.company_id.trim(), secret.expose()).map_err(Failure::usage)?;
        transport()?.check(&connection).map_err(Failure::usage)?;
        let session = Session::open(global, Access::Write).await?;
        let tenant = session.tenant(&self.tenant).await?;
        session
            .store
            .connect(&tenant, connection.base_url().as_str(), self.company_id.trim(), &secret)
            .await?;
        session.store.close().await;
        if global.json {
            output::print_json(&json!({
                "tenant": tenant.name,
                "base_url": connection.base_url().as_str(),
                "company_id": self.company_id.trim(),
            }));
        } else {
            output::print_line(format_args!(
                "Connected {} to company {} at {}. The secret key is stored sealed.",
                tenant.name,
                self.company_id.trim(),
                connection.base_url()
            ));
        }
        Ok(())
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let text = if let Some(file) = &self.secret_file {
            std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?
        } else if let Ok(text) = std::env::var("HARNESS_SECRET_KEY") {
            text
        } else if std::io::stdin().is_terminal() {
            output::ask("Secret key: ");
            let mut line = String::new();
            std::io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|error| Failure::usage(format!("the secret key cannot be read: {error}")))?;
            line
        } else {
            return Err(Failure::usage(
                "the secret key is missing: give --secret-file FILE or set HARNESS_SECRET_KEY",
            ));
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::usage(
                "the secret key is empty: Metakocka shows it under Settings / Web API",
            ));
        }
        Ok(Secret::new(text))
    }
}

impl TestConnection {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let session = Session::open(global, Access::Read).await?;
        let tenant = session.tenant(&self.tenant).await?;
        let connection = session
            .store
            .connection(&tenant)
            .await?
            .ok_or_else(|| Failure::from(crate::store::StoreError::NotConnected(tenant.name.clone())))?;
        let connection =
            Connection::new(&connection.base_url, &connection.company_id, connection.secret.expose())
                .map_err(Failure::usage)?;
        let http = Arc::new(Http::new(&transport()?, connection));
        let powers = Powers {
            logging: Logging::new(Arc::new(Silence), http.redactor()),
            http,
            storage: session.store.storage(&tenant).await?,
            clock: Arc::new(RealClock::default()),
        };
        let plugin = session.plugin(None, None)?;
        match plugin.test_connection(powers, Limits::default()).await.result {
            Ok(text) => {
                if global.json {
                    output::print_json(&json!({ "success": true, "tenant": tenant.name, "message": text }));
                } else {
                    output::print_line(format_args!("{}: {text}", tenant.name));
                }
                Ok(())
            }
            Err(error) => {
                Err(Failure::failed(format!("the connection of {} does not work: {error}", tenant.name)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normal_base;

    #[test]
    fn addresses_are_brought_to_one_form() {
        for given in [
            "https://main.metakocka.si/rest/eshop",
            "https://main.metakocka.si/rest/eshop/",
            "https://main.metakocka.si/rest/eshop/v1/json/",
            " https://main.metakocka.si/rest/eshop/v1",
        ] {
            assert_eq!(normal_base(given), "https://main.metakocka.si/rest/eshop/", "{given}");
        }
    }
}
