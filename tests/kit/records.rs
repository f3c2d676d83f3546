//! People and companies as a CRM knows them.

use serde_json::{Value, json};

/// A contact with everything Metakocka needs: even ones are companies with a tax number and a contact person, odd ones are
/// persons with an e-mail.
#[must_use]
pub fn contact(number: usize) -> Value {
    let street = format!("Čebelarska ulica {number}");
    let (post, city) =
        [("1000", "Ljubljana"), ("2000", "Maribor"), ("3000", "Celje"), ("4220", "Škofja Loka")][number % 4];
    if number.is_multiple_of(2) {
        json!({
            "id": format!("company-{number:05}"), "company": format!("Žaga številka {number} d.o.o."),
            "firstname": "Živa", "lastname": format!("Šušteršič {number}"),
            "email": format!("ziva.{number}@zaga.example"), "phone": format!("01 420 {number:05}"),
            "street": street, "postal_code": post, "city": city, "country": "Slovenija",
            "tax_number": format!("SI{:08}", 10_000_000 + number),
            "registration_number": format!("{:010}", 6_000_000_000_u64 + number as u64),
        })
    } else {
        json!({
            "id": format!("person-{number:05}"), "firstname": "Črt", "lastname": format!("Kovačič {number}"),
            "email": format!("crt.{number}@domac.example"), "phone": format!("041 {:06}", 100_000 + number),
            "street": street, "postal_code": post, "city": city, "country": "Slovenija",
        })
    }
}

/// So many of them.
#[must_use]
pub fn contacts(count: usize) -> Vec<Value> {
    (1..=count).map(contact).collect()
}
