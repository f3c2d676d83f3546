use crate::client::Client;
use metakocka_sandbox::{Options, start};
use serde_json::json;
use std::time::Instant;

/// What a push of 10 000 new partners over a register of 100 000 costs here.
#[tokio::test]
#[ignore = "a measurement: cargo test --release -p metakocka-sandbox -- --ignored --nocapture"]
async fn ten_thousand_pushes_over_a_hundred_thousand_partners() {
    let begin = Instant::now();
    let running = start(Options { partners: 100_000, ..Options::default() }).await.unwrap();
    eprintln!("start: {:?}, {}", begin.elapsed(), memory("VmRSS"));

    let mut client = Client::to(&running.base_url).await;
    for _ in 0..3 {
        let begin = Instant::now();
        let scan = client.call(&running, "v1/get_partner", json!({})).await;
        eprintln!("full scan of {} bytes: {:?}", scan.announced, begin.elapsed());
    }

    let begin = Instant::now();
    for n in 0..10_000_u32 {
        let (tax, email) =
            (format!("{}", 80_000_000 + n * 977), format!("janez.novak{n}@nova-stranka.example"));
        let lookup =
            if n % 2 == 0 { json!({"partner_tax_number": tax}) } else { json!({"partner_email": email}) };
        client.call(&running, "v1/get_partner", lookup).await;
        let partner = json!({
            "customer": format!("Nova stranka {n} d.o.o."), "tax_id_number": tax, "street": "Nova ulica 1",
            "post_number": "1000", "place": "Ljubljana", "country": "Slovenija", "buyer": "true",
            "partner_contact": {"name": "Janez Novak", "email": email, "phone": "01 234 56 78"}
        });
        let added = client.call(&running, "v1/add_partner", json!({ "partner": partner })).await.json();
        let read = client.call(&running, "v1/get_partner", json!({"partner_id": added["mk_id"]})).await;
        assert!(read.whole());
    }
    eprintln!("10 000 pushes: {:?}", begin.elapsed());

    let begin = Instant::now();
    let log = Client::to(&running.control_url).await.send("GET", "/requests?since=0", "").await;
    eprintln!("log of {} bytes: {:?}", log.announced, begin.elapsed());
    let begin = Instant::now();
    let state = Client::to(&running.control_url).await.send("GET", "/state", "").await;
    eprintln!("state of {} bytes: {:?}", state.announced, begin.elapsed());
    let begin = Instant::now();
    Client::to(&running.control_url).await.send("POST", "/reset", "").await;
    eprintln!("reset: {:?}", begin.elapsed());
    eprintln!("peak with this client in the same process: {}", memory("VmHWM"));
}

fn memory(what: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with(what)).unwrap_or_default().to_owned()
}
