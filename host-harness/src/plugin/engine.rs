//! The runtime: one for the process, shared by all tenants.

use std::sync::Arc;

use wasmtime::Config;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::PluginPre;
use super::cache::CacheFolder;
use super::error::LoadError;
use super::host::HostState;
use super::instance::Plugin;
use super::ticker::Ticker;
use super::{bindings, imports};

/// How an engine is made.
#[derive(Clone, Default)]
pub struct EngineOptions {
    /// Where compiled components are kept; nowhere when absent.
    pub cache: Option<CacheFolder>,
    /// Whether runs can dump the guest's memory. Makes guests slower; they are compiled and cached separately.
    pub memory_dumps: bool,
}

/// The runtime. Cloning is cheap.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    ticker: Arc<Ticker>,
    cache: Option<CacheFolder>,
}

impl Engine {
    /// A runtime.
    ///
    /// # Errors
    /// This machine cannot run it.
    pub fn new(options: EngineOptions) -> Result<Self, LoadError> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        if options.memory_dumps {
            config.guest_debug(true);
        }
        let engine =
            wasmtime::Engine::new(&config).map_err(|error| LoadError::Runtime(format!("{error:#}")))?;
        let ticker = Ticker::start(&engine).map_err(|error| LoadError::Runtime(error.to_string()))?;
        Ok(Self { engine, ticker, cache: options.cache })
    }

    /// Makes a component ready to run: checks what it asks for, compiles it or takes it from the cache, and
    /// binds its imports.
    ///
    /// # Errors
    /// It is not a plugin for this host.
    pub fn load(&self, component: &[u8]) -> Result<Plugin, LoadError> {
        imports::check(component)?;
        let cached = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, component));
        let compiled = match cached {
            Some(compiled) => compiled,
            None => self.compile(component)?,
        };
        let unfit = |error: wasmtime::Error| LoadError::Contract {
            expected: imports::contract(),
            reason: format!("{error:#}"),
        };
        let mut linker = Linker::<HostState>::new(&self.engine);
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(unfit)?;
        // Safe to be this wide only because nothing unknown is left after the check above.
        linker.define_unknown_imports_as_traps(&compiled).map_err(unfit)?;
        let ready = linker.instantiate_pre(&compiled).and_then(PluginPre::new).map_err(unfit)?;
        Ok(Plugin::new(ready, Arc::clone(&self.ticker)))
    }

    fn compile(&self, component: &[u8]) -> Result<Component, LoadError> {
        let compiled = Component::from_binary(&self.engine, component)
            .map_err(|error| LoadError::NotAComponent(format!("{error:#}")))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(&self.engine, component, &compiled)
        {
            tracing::warn!(%error, "the compiled plugin cannot be kept; the next start compiles again");
        }
        Ok(compiled)
    }
}

/// The runtime for asynchronous work that shares fairly between tenants.
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        // Tokio looks for arrived data and expired timers only every 61 turns. A turn of a computing guest takes
        // a millisecond, so everybody else would wait for 61 of them.
        .event_interval(1)
        .enable_all()
        .build()
}
