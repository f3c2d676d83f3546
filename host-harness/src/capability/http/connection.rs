//! One tenant's way to one Metakocka company.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::credentials::{self, BodyRefusal};
use super::{Redactor, path};

/// Why a connection cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// Not an address that requests could be sent to.
    #[error("{url:?} is no base address: {reason}")]
    BaseUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No secret, or no company.
    #[error("the {0} is empty")]
    Empty(&'static str),
}

/// One tenant's way to one Metakocka company. Cloning is cheap.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    base_url: reqwest::Url,
    company_id: String,
    members: Zeroizing<String>,
    redactor: Redactor,
}

/// A request that kept every rule.
pub struct Prepared {
    pub(super) url: reqwest::Url,
    pub(super) body: Vec<u8>,
}

/// Why a request was refused before anybody was called.
#[derive(Debug, thiserror::Error)]
pub enum RequestRefusal {
    /// The path leaves the alphabet.
    #[error("the path {0:?} is refused: letters, digits, `_`, `-` and single `/` only")]
    Path(String),
    /// The body breaks a rule.
    #[error(transparent)]
    Body(#[from] BodyRefusal),
}

impl Connection {
    /// The name guests use.
    pub const NAME: &'static str = "metakocka";

    /// A connection. Whether its address may be called is decided by the [`super::Transport`].
    ///
    /// # Errors
    /// The address, the company or the secret cannot work.
    pub fn new(base_url: &str, company_id: &str, secret: &str) -> Result<Self, ConnectionError> {
        let refuse = |reason: &str| ConnectionError::BaseUrl { url: base_url.into(), reason: reason.into() };
        let mut url = reqwest::Url::parse(base_url).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("it must not hold a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it must end with its path"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        if company_id.is_empty() {
            return Err(ConnectionError::Empty("company id"));
        }
        if secret.is_empty() {
            return Err(ConnectionError::Empty("secret"));
        }
        let members = Zeroizing::new(credentials::members(company_id, secret));
        let inner =
            Inner { base_url: url, company_id: company_id.into(), members, redactor: Redactor::new(secret) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The name guests use.
    pub fn name(&self) -> &'static str {
        Self::NAME
    }

    /// Where it leads, ending in a slash.
    pub fn base_url(&self) -> &reqwest::Url {
        &self.inner.base_url
    }

    /// The company there.
    pub fn company_id(&self) -> &str {
        &self.inner.company_id
    }

    /// What removes the secret from text and answers.
    pub fn redactor(&self) -> &Redactor {
        &self.inner.redactor
    }

    pub(super) fn prepare(&self, path: &str, body: &[u8]) -> Result<Prepared, RequestRefusal> {
        if !path::is_plain(path) {
            return Err(RequestRefusal::Path(path.chars().take(100).collect()));
        }
        let body = credentials::splice(body, &self.inner.members)?;
        let mut url = self.inner.base_url.clone();
        let path = format!("{}{path}", url.path());
        url.set_path(&path);
        Ok(Prepared { url, body })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("base_url", &self.inner.base_url.as_str())
            .field("company_id", &self.inner.company_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_below_the_base_address() {
        for base in ["https://main.metakocka.si/rest/eshop/", "https://main.metakocka.si/rest/eshop"] {
            let connection = Connection::new(base, "16", "key").unwrap();
            let prepared = connection.prepare("v1/get_partner", b"{}").unwrap();
            assert_eq!(prepared.url.as_str(), "https://main.metakocka.si/rest/eshop/v1/get_partner");
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let connection = Connection::new("https://main.metakocka.si/", "16", "hush-hush").unwrap();
        assert!(!format!("{connection:?}").contains("hush"));
    }

    #[test]
    fn addresses_that_hide_something_are_refused() {
        for base in
            ["", "ftp://x/", "https://u:p@x/", "https://x/?a=1", "https://x/#a", "x", "file:///etc/passwd"]
        {
            assert!(
                matches!(Connection::new(base, "16", "key"), Err(ConnectionError::BaseUrl { .. })),
                "{base}"
            );
        }
        assert_eq!(Connection::new("https://x/", "", "k").unwrap_err(), ConnectionError::Empty("company id"));
        assert_eq!(Connection::new("https://x/", "1", "").unwrap_err(), ConnectionError::Empty("secret"));
    }
}
