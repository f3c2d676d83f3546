//! A guest that loops for ever: the host must stop it by its CPU budget and keep serving others meanwhile.

#[cfg(target_family = "wasm")]
guest_kit::guest!(super::spin);

#[cfg(target_family = "wasm")]
async fn spin(_request: guest_kit::RunRequest) -> Result<guest_kit::Report, guest_kit::Failure> {
    let mut turns = 0_u64;
    loop {
        // Seen by the optimiser as work, or it would be free to drop the loop.
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
