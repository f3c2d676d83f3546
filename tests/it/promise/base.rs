//! What both sides agreed on is what each really stored, and a new partner is told everything that follows from its fields.

use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::json;

use super::{FIRST, partner, partner_of, stored};
use crate::sim::{World, alone};

const BOTH: Direction = Direction::Bidirectional;

/// Metakocka answers `Združene države Amerike` for the `US` it was sent (`add_partner.md`: a name or an ISO code).
#[test]
fn another_spelling_over_there_is_no_edit() {
    alone(async {
        for way in ["created with it", "changed to it"] {
            let world = World::new().await;
            let mut foreign = contact(2);
            if way == "created with it" {
                foreign["country"] = json!("US");
            }
            world.put_contact(&foreign).await;
            world.to_rest(BOTH).await.unwrap();
            if way == "changed to it" {
                world.edit_contact(FIRST, json!({ "country": "US" })).await;
                world.to_rest(BOTH).await.unwrap();
            }
            let id = partner_of(&world, FIRST).await;
            let there = partner(&world, &id)["partner_delivery_address_list"][0]["country"].clone();
            assert_eq!(there, "Združene države Amerike", "{way}");
            assert_eq!(stored(&world, FIRST).await["country"], "US", "{way}");
            // An edit of another field makes the whole record news.
            world.edit_row(&id, "partner_delivery_address_list", json!({ "street": "Nova 1" }));
            world.to_rest(BOTH).await.unwrap();
            let contact = stored(&world, FIRST).await;
            assert_eq!((&contact["street"], &contact["country"]), (&json!("Nova 1"), &json!("US")), "{way}");
        }
    });
}

/// `taxpayer` is who has a number for VAT, one that begins with its country; `foreign_county` (the vendor's spelling) is
/// whoever is not in Slovenia.
#[test]
fn a_new_partner_is_a_taxpayer_or_foreign_by_its_number_and_country() {
    let rows = [
        (Some("SI10000002"), "Slovenija", "true", "false"),
        (Some("10000004"), "Slovenija", "false", "false"),
        (None, "SI", "false", "false"),
        (Some("ATU12345678"), "Avstrija", "true", "true"),
        (None, "Hrvaška", "false", "true"),
        (Some("HR12345678903"), "HR", "true", "true"),
    ];
    alone(async {
        let world = World::new().await;
        for (number, (tax, country, ..)) in rows.iter().enumerate() {
            let mut new = contact(2 * number + 2);
            new["tax_number"] = json!(tax);
            new["country"] = json!(country);
            world.put_contact(&new).await;
        }
        world.to_rest(BOTH).await.unwrap();
        for (number, (tax, country, taxpayer, foreign)) in rows.iter().enumerate() {
            let id = contact(2 * number + 2)["id"].as_str().unwrap().to_owned();
            let partner = partner(&world, &partner_of(&world, &id).await);
            assert_eq!(
                (&partner["taxpayer"], &partner["foreign_county"]),
                (&json!(taxpayer), &json!(foreign)),
                "{tax:?} in {country}"
            );
        }
    });
}
