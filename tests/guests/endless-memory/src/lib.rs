//! A guest that takes memory without end: the host must stop it at the memory limit, and say so.

#[cfg(target_family = "wasm")]
guest_kit::guest!(super::hoard);

#[cfg(target_family = "wasm")]
async fn hoard(_request: guest_kit::RunRequest) -> Result<guest_kit::Report, guest_kit::Failure> {
    let mut hoard = Vec::new();
    loop {
        // Touched, so that it is resident and not only reserved.
        hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}
