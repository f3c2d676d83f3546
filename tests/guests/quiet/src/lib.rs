//! A well-behaved guest: it waits, works a little, says so, and succeeds.
//!
//! `seen` of its report is the number of rounds it made.

#[cfg(target_family = "wasm")]
guest_kit::guest!(super::work);

#[cfg(target_family = "wasm")]
async fn work(_request: guest_kit::RunRequest) -> Result<guest_kit::Report, guest_kit::Failure> {
    use guest_kit::{clock, logging};

    const ROUNDS: u64 = 10;
    for round in 0..ROUNDS {
        clock::sleep(5).await;
        let sum =
            (0..20_000_u64).fold(round, |sum, n| std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n)));
        logging::log(
            logging::Level::Debug,
            logging::Category::General,
            "one round",
            &[logging::Field { name: "sum".into(), value: sum.to_string() }],
        );
        logging::progress("rounds", round + 1, Some(ROUNDS));
    }
    Ok(guest_kit::Report { seen: ROUNDS, ..guest_kit::nothing_done() })
}
