//! Does a plan say exactly what apply does, change nothing itself, and stop holding when the world moves on?

use proof::erp::Erp;
use proof::records::contacts;
use proof::site::Site;
use proof::sql;
use serde_json::{Value, json};

use crate::site;

/// What a plan itself leaves behind.
const OF_PLANS: [&str; 5] = [
    "metakocka_plans",
    "metakocka_sync_runs",
    "metakocka_integration_logs",
    "metakocka_credentials",
    "tenant_revisions",
];

/// A company and a tenant with work in both directions.
fn busy() -> (Erp, Site, String) {
    let (erp, site) = (Erp::with(12, 9), site());
    let tenant = site.tenant("Alfa", &erp);
    site.import("Alfa", &contacts(4));
    let _ = site.sync("Alfa", "bidirectional");
    // Two creates there, one here, an update here, an update there, a deletion.
    site.import("Alfa", &contacts(6).split_off(4));
    let _ = erp.create(
        json!({ "customer": "Nova d.o.o.", "business_entity": "true", "tax_id_number": "SI99999999" }),
    );
    erp.edit_street(&site.partner_of("Alfa", "company-00002"), "Prestavljena 9");
    assert_eq!(
        sql::execute(&site.store(), "UPDATE contacts SET phone = '01 444 44 44' WHERE id = 'company-00004'"),
        1
    );
    let seeded = site.links("Alfa").into_iter().find(|(contact, _)| contact.len() == 36).unwrap().1;
    erp.delete(&seeded);
    (erp, site, tenant)
}

fn count(items: &[Value], action: &str) -> usize {
    items.iter().filter(|item| item["action"] == action).count()
}

fn planned(site: &Site) -> Value {
    site.json(&["plan", "--tenant", "Alfa", "--direction", "bidirectional", "--out", "plan.json"])
}

fn apply(site: &Site) -> proof::site::Ran {
    site.run(&["sync", "--tenant", "Alfa", "--direction", "bidirectional", "--plan", "plan.json", "--json"])
}

#[test]
fn apply_does_what_the_plan_says_and_nothing_else() {
    let (erp, site, tenant) = busy();
    let (rows, newest) = (sql::everything_of(&site.store(), &tenant, &OF_PLANS), erp.newest());
    let plan = planned(&site);
    assert_eq!(sql::everything_of(&site.store(), &tenant, &OF_PLANS), rows, "a plan changes nothing here");
    assert!(erp.writes_since(newest).is_empty(), "a plan changes nothing there");
    let items = plan["items"].as_array().unwrap();
    println!("{items:#?}");

    // Twice the same question, twice the same answer.
    let again = site.json(&["plan", "--tenant", "Alfa", "--direction", "bidirectional"]);
    assert_eq!(strip(&again["items"]), strip(&plan["items"]));

    let ran = apply(&site).exits(0);
    let result = ran.json();
    assert_eq!(result["metakocka"]["created"], count(items, "create-partner"), "{ran}");
    assert_eq!(result["crm"]["created"], count(items, "create-contact"), "{ran}");
    assert_eq!(result["crm"]["deactivated"], count(items, "deactivate"), "{ran}");
    assert_eq!(
        (
            result["metakocka"]["created"].as_u64(),
            result["crm"]["created"].as_u64(),
            result["deactivated"].as_u64()
        ),
        (Some(2), Some(1), Some(1)),
        "{ran}"
    );
    // Every value a partner got was on the plan.
    let planned: Vec<&str> = items
        .iter()
        .flat_map(|item| item["fields"].as_array().into_iter().flatten())
        .filter_map(|field| field["new"].as_str())
        .collect();
    for value in ["Prestavljena 9", "01 444 44 44", "crt.5@domac.example", "Žaga številka 6 d.o.o."] {
        assert!(planned.contains(&value), "{value} is not on the plan");
    }
    assert_eq!(
        erp.partner(&site.partner_of("Alfa", "company-00004"))["partner_contact_list"][0]["phone"],
        "01 444 44 44"
    );
    assert_eq!(site.contact("Alfa", "company-00002")["street"], "Prestavljena 9");
    let done = site.json(&["plan", "--tenant", "Alfa", "--direction", "bidirectional"]);
    assert_eq!(done["items"], json!([]), "nothing is left to do");
}

/// Items without the ids that are made anew each time.
fn strip(items: &Value) -> Vec<Value> {
    let mut items = items.as_array().unwrap().clone();
    for item in &mut items {
        if item["action"] == "create-contact" {
            item["crm_id"] = Value::Null;
        }
    }
    items.sort_by_key(Value::to_string);
    items
}

#[test]
fn what_no_longer_holds_is_left_alone_and_reported() {
    let (erp, site, _) = busy();
    let _ = planned(&site);
    // After the plan was made: the street is edited again, and one of the new contacts gets another name.
    let moved = site.partner_of("Alfa", "company-00002");
    erp.edit_street(&moved, "Še enkrat prestavljena 10");
    assert_eq!(
        sql::execute(
            &site.store(),
            "UPDATE contacts SET company = 'Preimenovana d.o.o.' WHERE id = 'company-00006'"
        ),
        1
    );
    let ran = apply(&site).exits(1);
    let result = ran.json();
    assert!(result["errors"].as_array().unwrap().iter().any(|error| error["code"] == "plan-stale"), "{ran}");
    assert_eq!(result["metakocka"]["created"], 1, "the other one still holds: {ran}");
    assert_ne!(
        site.contact("Alfa", "company-00002")["street"],
        "Še enkrat prestavljena 10",
        "not planned, not done"
    );
    assert!(
        !erp.partners().iter().any(|partner| partner["customer"] == "Preimenovana d.o.o."),
        "not planned, not done"
    );
    assert!(
        !erp.partners().iter().any(|partner| partner["customer"] == "Žaga številka 6 d.o.o."),
        "planned, no longer true"
    );
    // A normal run does the rest.
    let _ = site.sync("Alfa", "bidirectional");
    assert_eq!(site.contact("Alfa", "company-00002")["street"], "Še enkrat prestavljena 10");
    assert!(erp.partners().iter().any(|partner| partner["customer"] == "Preimenovana d.o.o."));
    assert_eq!(erp.duplicates(), 0);
}

#[test]
fn a_plan_that_was_edited_or_is_of_somebody_else_is_refused() {
    let (erp, site, tenant) = busy();
    let _ = planned(&site);
    let text = std::fs::read_to_string(site.path("plan.json")).unwrap();
    let rows = sql::everything_of(&site.store(), &tenant, &[]);
    let newest = erp.newest();
    for (name, text, part) in [
        ("edited", text.replace("Prestavljena 9", "Podtaknjena 1"), "not the plan"),
        ("another tenant's", text.replace("\"tenant\": \"Alfa\"", "\"tenant\": \"Beta\""), "another tenant"),
        ("no plan", "{}".to_owned(), "is no plan"),
        ("no JSON", "plan".to_owned(), "is no plan"),
    ] {
        std::fs::write(site.path("plan.json"), text).unwrap();
        let ran = apply(&site).exits(2);
        assert!(ran.err.contains(part), "{name}: {ran}");
    }
    assert_eq!(sql::everything_of(&site.store(), &tenant, &[]), rows);
    assert_eq!(erp.newest(), newest);
}
