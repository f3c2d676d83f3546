//! Do edits on both sides meet without losing anything, and is a contested field settled by the policy in force?

use proof::erp::Erp;
use proof::reading::{columns_of, contact_of, without_split_names};
use proof::records::contacts;
use proof::site::{Site, wrote_nothing};
use proof::sql;
use serde_json::Value;

use crate::site;

/// A company with three linked contacts, made from the CRM.
struct Pair {
    erp: Erp,
    site: Site,
}

const FIRST: &str = "company-00002";
const SECOND: &str = "company-00004";

impl Pair {
    fn new() -> Self {
        let (erp, site) = (Erp::with(0, 1), site());
        site.tenant("Alfa", &erp);
        site.import("Alfa", &contacts(4));
        let _ = site.sync("Alfa", "bidirectional");
        Self { erp, site }
    }

    fn mk(&self, contact: &str) -> String {
        self.site.partner_of("Alfa", contact)
    }

    fn crm(&self, contact: &str, column: &str, value: &str) {
        let sql = format!("UPDATE contacts SET {column} = '{value}' WHERE id = '{contact}'");
        assert_eq!(sql::execute(&self.site.store(), &sql), 1);
    }

    fn sync(&self) -> Value {
        self.site.sync("Alfa", "bidirectional")
    }

    /// What both sides say, by the independent reading.
    fn agree(&self, contact: &str) {
        let (crm, erp) = (self.site.contact("Alfa", contact), self.erp.partner(&self.mk(contact)));
        assert_eq!(
            without_split_names(columns_of(&crm)),
            without_split_names(contact_of(&erp)),
            "{crm:#}\n{erp:#}"
        );
    }

    fn quiet(&self) {
        let before = self.erp.newest();
        wrote_nothing(&self.sync());
        assert!(self.erp.writes_since(before).is_empty());
    }
}

#[test]
fn edits_of_different_fields_of_one_record_both_arrive() {
    let pair = Pair::new();
    pair.crm(FIRST, "phone", "01 777 77 77");
    pair.erp.edit_street(&pair.mk(FIRST), "Prestavljena 9");
    let result = pair.sync();
    assert_eq!(
        (&result["crm"]["updated"], &result["metakocka"]["updated"]),
        (&1.into(), &1.into()),
        "{result:#}"
    );
    assert_eq!(result["conflicts"], 0, "{result:#}");
    let contact = pair.site.contact("Alfa", FIRST);
    assert_eq!((&contact["phone"], &contact["street"]), (&"01 777 77 77".into(), &"Prestavljena 9".into()));
    pair.agree(FIRST);
    pair.quiet();
}

#[test]
fn a_contested_field_goes_to_the_policy_and_the_loser_to_history() {
    for (policy, winner) in [("metakocka", "erp"), ("crm", "crm")] {
        let pair = Pair::new();
        pair.site.set("Alfa", "contacts.policy", policy);
        pair.crm(FIRST, "phone", "01 111 11 11");
        pair.erp.edit_phone(&pair.mk(FIRST), "01 222 22 22");
        let result = pair.sync();
        assert_eq!(result["conflicts"], 1, "{policy}: {result:#}");
        let (value, loser) =
            if winner == "crm" { ("01 111 11 11", "01 222 22 22") } else { ("01 222 22 22", "01 111 11 11") };
        assert_eq!(pair.site.contact("Alfa", FIRST)["phone"], value, "{policy}");
        pair.agree(FIRST);
        let history = pair.site.json(&["history", "--tenant", "Alfa"]);
        let rows = history.as_array().unwrap();
        assert!(
            rows.iter().any(|row| row["field"] == "phone" && row["old"] == loser && row["new"] == value),
            "{policy}: {history:#}"
        );
        pair.quiet();
    }
}

/// In both directions the newer edit wins. Metakocka has no change time, so what counts there is when a run first saw it.
#[test]
fn by_default_the_newer_edit_wins() {
    let pair = Pair::new();
    pair.crm(FIRST, "phone", "01 111 11 11");
    let year_ago = format!("UPDATE contacts SET updatedat = '2020-01-01T00:00:00.000Z' WHERE id = '{FIRST}'");
    assert_eq!(sql::execute(&pair.site.store(), &year_ago), 1);
    pair.erp.edit_phone(&pair.mk(FIRST), "01 222 22 22");
    let _ = pair.sync();
    assert_eq!(pair.site.contact("Alfa", FIRST)["phone"], "01 222 22 22");
    pair.agree(FIRST);
    // A time of the CRM that is still to come is believed no more than the present.
    let ahead = format!(
        "UPDATE contacts SET phone = '01 333 33 33', updatedat = '2999-01-01T00:00:00.000Z' WHERE id = '{FIRST}'"
    );
    assert_eq!(sql::execute(&pair.site.store(), &ahead), 1);
    pair.erp.edit_phone(&pair.mk(FIRST), "01 444 44 44");
    let _ = pair.sync();
    assert_eq!(pair.site.contact("Alfa", FIRST)["phone"], "01 444 44 44");
    pair.agree(FIRST);
    pair.quiet();
}

#[test]
fn a_manual_field_waits_for_a_person_and_the_rest_of_the_record_does_not() {
    for (take, value) in [("crm", "01 111 11 11"), ("metakocka", "01 222 22 22")] {
        let pair = Pair::new();
        pair.site.set("Alfa", "contacts.direction", "bidirectional");
        pair.site.set("Alfa", "contacts.policy.phone", "manual");
        let base = pair.site.contact("Alfa", FIRST)["phone"].clone();
        pair.crm(FIRST, "phone", "01 111 11 11");
        pair.crm(FIRST, "registration_number", "1234567000");
        pair.erp.edit_phone(&pair.mk(FIRST), "01 222 22 22");
        pair.erp.edit_street(&pair.mk(FIRST), "Prestavljena 9");
        // A neighbour without any quarrel.
        pair.crm(SECOND, "city", "Kranj");
        let result = pair.sync();
        assert_eq!((&result["conflicts"], &result["parked"]), (&1.into(), &1.into()), "{result:#}");

        let list = pair.site.json(&["conflicts", "list", "--tenant", "Alfa"]);
        let [conflict] = list.as_array().unwrap().as_slice() else { panic!("{list:#}") };
        for (member, wanted) in [
            ("kind", Value::from("contacts")),
            ("crm_id", FIRST.into()),
            ("metakocka_id", pair.mk(FIRST).into()),
            ("field", "phone".into()),
            ("base", base),
            ("crm", "01 111 11 11".into()),
            ("metakocka", "01 222 22 22".into()),
        ] {
            assert_eq!(conflict[member], wanted, "{member} of {conflict:#}");
        }
        assert!(conflict["since"].is_string(), "{conflict:#}");
        let (contact, partner) = (pair.site.contact("Alfa", FIRST), pair.erp.partner(&pair.mk(FIRST)));
        assert_eq!(contact["street"], "Prestavljena 9", "the rest has travelled");
        assert_eq!(partner["registration_number"], "1234567000", "the rest has travelled");
        assert_eq!(
            (&contact["phone"], contact_of(&partner)["phone"].as_str()),
            (&"01 111 11 11".into(), "01 222 22 22")
        );
        pair.agree(SECOND);

        // Waiting costs nothing.
        let before = pair.erp.newest();
        let waiting = pair.sync();
        assert_eq!((&waiting["updated"], &waiting["parked"]), (&0.into(), &1.into()), "{waiting:#}");
        assert!(pair.erp.writes_since(before).is_empty());

        let id = conflict["id"].as_str().unwrap();
        let settled =
            pair.site.json(&["conflicts", "resolve", "--tenant", "Alfa", "--id", id, "--take", take]);
        assert_eq!(settled["settled"], true, "{settled:#}");
        assert_eq!(pair.site.contact("Alfa", FIRST)["phone"], value, "{take}");
        pair.agree(FIRST);
        assert_eq!(pair.site.json(&["conflicts", "list", "--tenant", "Alfa"]).as_array().unwrap().len(), 0);
        pair.quiet();
    }
}

/// The same edit on both sides is agreement, not a quarrel.
#[test]
fn the_same_edit_on_both_sides_is_no_conflict() {
    let pair = Pair::new();
    pair.crm(FIRST, "phone", "01 555 55 55");
    pair.erp.edit_phone(&pair.mk(FIRST), "+386 1 555 55 55");
    let before = pair.erp.newest();
    let result = pair.sync();
    assert_eq!((&result["conflicts"], &result["parked"]), (&0.into(), &0.into()), "{result:#}");
    assert!(pair.erp.writes_since(before).is_empty(), "two spellings of one number need no write");
    pair.quiet();
}

/// A person edits the partner between our read and our write: nothing of it is lost.
#[test]
fn an_edit_between_read_and_write_survives() {
    let pair = Pair::new();
    pair.crm(FIRST, "phone", "01 777 77 77");
    pair.erp.faults(serde_json::json!([
        { "match": "get_partner", "fault": "ui-edit-between", "times": 1, "body_contains": pair.mk(FIRST),
          "fields": { "registration_number": "5555555000" } }
    ]));
    let _ = pair.sync();
    pair.erp.faults(serde_json::json!([]));
    let _ = pair.sync();
    let contact = pair.site.contact("Alfa", FIRST);
    assert_eq!(
        (&contact["phone"], &contact["registration_number"]),
        (&"01 777 77 77".into(), &"5555555000".into())
    );
    pair.agree(FIRST);
    pair.quiet();
}
