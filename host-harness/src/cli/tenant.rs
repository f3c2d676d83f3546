//! `tenant add|list`

use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

use super::session::Session;
use super::{Global, Outcome, output};
use crate::store::{Access, Tenant as Row};

/// Tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Adds a tenant: one organisation, or one user without any
    Add {
        /// Its name, unique in the store
        name: String,
        /// Id of the CRM's organisation
        #[arg(long, value_name = "UUID")]
        organization: Option<Uuid>,
        /// Id of the CRM's user
        #[arg(long, value_name = "UUID")]
        user: Option<Uuid>,
    },
    /// Lists tenants
    List,
}

fn row(tenant: &Row) -> serde_json::Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "organization_id": tenant.organization_id,
        "user_id": tenant.user_id,
        "created_at": tenant.created_at,
    })
}

impl Tenant {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Add { name, organization, user } => {
                let session = Session::open(global, Access::Write).await?;
                let tenant = session.store.add_tenant(&name, organization, user).await?;
                session.store.close().await;
                if global.json {
                    output::print_json(&row(&tenant));
                } else {
                    output::print_line(format_args!("Added tenant {} ({})", tenant.name, tenant.id));
                }
            }
            Self::List => {
                let session = Session::open(global, Access::Read).await?;
                let tenants: Vec<_> = session.store.tenants().await?.iter().map(row).collect();
                if global.json {
                    output::print_json(&json!(tenants));
                } else {
                    output::print_rows(
                        &tenants,
                        &["name", "id", "organization_id", "user_id"],
                        "There are no tenants yet.",
                    );
                }
            }
        }
        Ok(())
    }
}
