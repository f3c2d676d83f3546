//! What the contract in `wit/` looks like in Rust, generated.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    // Every import counts as a host call, and one too many ends the run.
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "metakocka:crm-sync/http.body": crate::capability::http::Body,
    },
});
