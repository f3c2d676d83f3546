//! Where a store is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::StoreError;

/// The address of a store: `sqlite:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A database file.
    Sqlite(PathBuf),
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading and writing; one process at a time.
    Write,
    /// Reading, beside a writer.
    Read,
}

impl StoreUrl {
    /// The store in this file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(given: &str) -> Result<Self, StoreError> {
        if given.starts_with("postgres://") || given.starts_with("postgresql://") {
            return Err(StoreError::NotInThisBuild);
        }
        let path = given.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if !path.is_empty() && !path.starts_with(':') && !path.contains('?') => {
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            // What stands before an @ may be a password.
            _ => Err(StoreError::Url {
                given: given
                    .rsplit_once('@')
                    .map_or_else(|| given.to_owned(), |(_, rest)| format!("…@{rest}")),
            }),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (given, expected) in [
            ("sqlite:/a/b.db", Ok("sqlite:/a/b.db")),
            ("sqlite:b.db", Ok("sqlite:b.db")),
            ("sqlite:///a/b.db", Ok("sqlite:/a/b.db")),
            ("sqlite:", Err("give sqlite:PATH")),
            ("sqlite::memory:", Err("give sqlite:PATH")),
            ("b.db", Err("give sqlite:PATH")),
            ("mysql://user:hush@host/db", Err("…@host/db")),
            ("postgres://user:hush@host/db", Err("not in this build")),
        ] {
            match (given.parse::<StoreUrl>(), expected) {
                (Ok(url), Ok(shown)) => assert_eq!(url.to_string(), shown),
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && !error.contains("hush"), "{given}: {error}");
                }
                (got, _) => panic!("{given}: {got:?}"),
            }
        }
    }
}
