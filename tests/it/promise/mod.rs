//! One promise a file, each held against the mistake nobody would have noticed. The plugin runs natively in the world of
//! [`crate::sim`], where time is virtual; what only the program promises is asked of the program (`outside`).

mod absence;
mod base;
mod lost_races;
mod matching;
mod outside;
mod plan;
mod quarantine;
mod retry;
mod settling;
mod statements;
mod updates;

use host_harness::store::Collection;
use metakocka_sync::sync::report::Report;
use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Map, Value, json};

use crate::sim::World;

const FIRST: &str = "company-00002";
const SECOND: &str = "company-00004";

/// Contacts of these numbers, in step with their partners.
async fn in_step(world: &World, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        world.put_contact(&contact(number)).await;
    }
    world.to_rest(Direction::Bidirectional).await.unwrap();
}

/// A contact as it is stored.
async fn stored(world: &World, id: &str) -> Value {
    let contacts = world.entries(Collection::Contacts).await;
    contacts
        .into_iter()
        .find(|(entry, _)| entry.id == id)
        .map_or(Value::Null, |(_, body)| Value::Object(body))
}

/// The partner with this id.
fn partner(world: &World, mk_id: &str) -> Value {
    world.partners().into_iter().find(|partner| partner["mk_id"] == mk_id).unwrap_or_default()
}

/// The partner a contact is linked with.
async fn partner_of(world: &World, contact: &str) -> String {
    world.links().await.get(contact).unwrap_or_else(|| panic!("{contact} has no link")).0.clone()
}

/// Rows of the quarantine.
async fn quarantine(world: &World) -> Vec<Map<String, Value>> {
    world.entries(Collection::Quarantine).await.into_iter().map(|(_, body)| body).collect()
}

/// Codes of the records that failed.
fn codes(report: &Report) -> Vec<&str> {
    report.errors.iter().map(|error| error.code.as_str()).collect()
}

fn delete(world: &World, mk_id: &str) {
    world.sandbox().edit(&json!({ "op": "delete", "kind": "partner", "mk_id": mk_id })).unwrap();
}
