//! What commands share: the data folder, the keys, the store, the plugin, the network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, Global};
use crate::capability::http::{AllowedHosts, Transport, TransportOptions};
use crate::plugin::{COMPONENT, CacheFolder, Engine, EngineOptions, Plugin};
use crate::seal::Keys;
use crate::store::{Access, Store, StoreError, StoreUrl, Tenant};

/// A command's open store.
pub(crate) struct Session {
    /// The store.
    pub(crate) store: Store,
    keys: Keys,
    data: PathBuf,
}

/// The folder for keys, the default store and compiled components.
pub(crate) fn data_folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = std::env::var_os("HARNESS_DATA").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| std::env::home_dir().map(|home| home.join(".local").join("share")))
        .map(|folder| folder.join("host-harness"))
        .ok_or_else(|| {
            Failure::usage("there is no home folder to keep data in: set HARNESS_DATA to a folder")
        })
}

fn private_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Failure::usage(format!("{} cannot be made: {error}", folder.display())))
}

/// Errors of the store are configuration, unless they come from the work itself.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full | StoreError::Busy | StoreError::Engine(_) | StoreError::Storage(_) => {
                Self::failed(error)
            }
            _ => Self::usage(error),
        }
    }
}

impl From<crate::store::StorageError> for Failure {
    fn from(error: crate::store::StorageError) -> Self {
        Self::failed(error)
    }
}

impl Session {
    /// Opens the store of this command.
    pub(crate) async fn open(global: &Global, access: Access) -> Result<Self, Failure> {
        let data = data_folder()?;
        // The master key is never kept beside the store.
        let keys_folder = data.join("keys");
        private_folder(&keys_folder)?;
        let keys = Keys::load(&keys_folder).map_err(Failure::usage)?;
        let url = match &global.store {
            Some(url) => url.parse::<StoreUrl>()?,
            None => {
                let folder = data.join("store");
                private_folder(&folder)?;
                StoreUrl::file(folder.join("harness.db"))
            }
        };
        let store = Store::open(&url, access, keys.clone()).await?;
        Ok(Self { store, keys, data })
    }

    /// The tenant a command names.
    pub(crate) async fn tenant(&self, name: &str) -> Result<Tenant, Failure> {
        Ok(self.store.tenant(name).await?)
    }

    /// Loads the plugin: the built-in one, or another build.
    pub(crate) fn plugin(&self, file: Option<&Path>, dump: Option<&Path>) -> Result<Plugin, Failure> {
        let keys = self.keys.clone();
        let mac = Arc::new(move |bytes: &[u8]| keys.mac("component-cache", bytes));
        let engine = Engine::new(EngineOptions {
            cache: Some(CacheFolder::new(self.data.join("cache"), mac)),
            memory_dumps: dump.is_some(),
        })
        .map_err(Failure::usage)?;
        let plugin = match file {
            None => engine.load(COMPONENT),
            Some(file) => {
                let bytes = std::fs::read(file)
                    .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
                engine.load(&bytes)
            }
        }
        .map_err(Failure::usage)?;
        Ok(match dump {
            Some(file) => plugin.dumping_memory_to(file),
            None => plugin,
        })
    }
}

/// The network of this process, under the operator's rules.
pub(crate) fn transport() -> Result<Arc<Transport>, Failure> {
    let allowed = std::env::var("HARNESS_ALLOW_HOSTS").unwrap_or_default();
    let allowed_hosts = AllowedHosts::parse(&allowed).map_err(Failure::usage)?;
    Transport::new(TransportOptions { allowed_hosts, ..TransportOptions::default() }).map_err(Failure::usage)
}
