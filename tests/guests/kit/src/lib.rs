//! What every test guest shares: the contract's bindings, and an answer to every export but `run`.
//!
//! A guest is `guest_kit::guest!(body)`, where `body` is an `async fn(RunRequest) -> Result<Report, Failure>`.
//! Natively the macro makes nothing, so the workspace builds without the wasm target.

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "guest_kit::bindings",
    });
}

#[cfg(target_family = "wasm")]
pub use bindings::{
    exports::metakocka::crm_sync::sync::{
        Description, Failure, Guest, Kind, Report, RunRequest, UnsyncedPage,
    },
    metakocka::crm_sync::{clock, http, logging, storage},
};

/// A run that did nothing and had nothing to do.
#[cfg(target_family = "wasm")]
pub fn nothing_done() -> Report {
    Report {
        success: true,
        stopped: None,
        crm_created: 0,
        crm_updated: 0,
        crm_deactivated: 0,
        metakocka_created: 0,
        metakocka_updated: 0,
        linked: 0,
        unchanged: 0,
        held: 0,
        waiting: 0,
        waiting_until: None,
        parked: 0,
        quarantined: 0,
        failed: 0,
        conflicts: 0,
        taken: 0,
        items: Vec::new(),
        items_left_out: 0,
        seen: 0,
        errors: Vec::new(),
        calls_made: 0,
        calls_least: 0,
        plan_hash: None,
    }
}

/// Makes a component out of one async function.
#[macro_export]
macro_rules! guest {
    ($run:path) => {
        #[cfg(target_family = "wasm")]
        mod component {
            struct Component;

            impl $crate::Guest for Component {
                fn describe() -> $crate::Description {
                    $crate::Description {
                        name: env!("CARGO_PKG_NAME").into(),
                        version: env!("CARGO_PKG_VERSION").into(),
                        kinds: vec![$crate::Kind::Contacts],
                    }
                }

                async fn test_connection() -> Result<String, $crate::Failure> {
                    Ok("a test guest talks to nobody".into())
                }

                async fn run(request: $crate::RunRequest) -> Result<$crate::Report, $crate::Failure> {
                    $run(request).await
                }

                async fn unsynced(
                    _kind: $crate::Kind,
                    _after: Option<String>,
                    _limit: u32,
                ) -> Result<$crate::UnsyncedPage, $crate::Failure> {
                    Ok($crate::UnsyncedPage { rows: Vec::new(), next: None, total: Some(0), never_scanned: true })
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
    };
}
