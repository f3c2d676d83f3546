//! A guest that says too much: a flood, texts that a terminal would obey, and one record that failed at the very end.

#[cfg(target_family = "wasm")]
guest_kit::guest!(super::work);

#[cfg(target_family = "wasm")]
async fn work(_request: guest_kit::RunRequest) -> Result<guest_kit::Report, guest_kit::Failure> {
    use guest_kit::logging::{self, Category, Field, Level};

    let field = |name: &str, value: &str| Field { name: name.into(), value: value.into() };
    for _ in 0..3_000 {
        logging::log(Level::Info, Category::General, "chatter", &[]);
    }
    let long = "č".repeat(100_000);
    logging::log(
        Level::Error,
        Category::Api,
        &format!("refused: \u{1b}[2J\u{9b}31m\u{202e}\r\n\0{long}"),
        &[
            field("crm_id", "c-1"),
            field("metakocka_id", "4000\u{1b}]0;title\u{7}"),
            field("code", "400"),
            field("class", "refused"),
            field("operation", "metakocka_update"),
            field("advice", "mend the e-mail\u{2066}"),
            field("run_id", "made up"),
        ],
    );
    Ok(guest_kit::nothing_done())
}
