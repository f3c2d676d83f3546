//! What only the program promises: exit codes, what is logged, what it refuses.

use host_harness::plugin::{Engine, EngineOptions};
use proof::erp::Erp;
use proof::records::contacts;
use proof::sql;
use serde_json::json;

use crate::site;

#[test]
fn the_first_of_two_tenants_fails_and_so_does_the_command() {
    let (erp_a, erp_b, site) = (Erp::with(3, 1), Erp::with(3, 2), site());
    site.tenant("Alfa", &erp_a);
    site.tenant("Beta", &erp_b);
    for tenant in ["Alfa", "Beta"] {
        site.set(tenant, "retry.max-retries", "0");
    }
    for (broken, whole) in [(&erp_a, &erp_b), (&erp_b, &erp_a)] {
        broken.faults(json!([{ "match": "*", "fault": "http-500" }]));
        whole.faults(json!([]));
        let both =
            ["sync", "--tenant", "Alfa", "--tenant", "Beta", "--direction", "from-metakocka", "--json"];
        let ran = site.run(&both).exits(1);
        let results = ran.json();
        let succeeded: Vec<bool> =
            results.as_array().unwrap().iter().map(|result| result["success"] == true).collect();
        assert_eq!(succeeded.iter().filter(|one| **one).count(), 1, "the other one goes on: {ran}");
    }
}

/// The program's own log at its loudest, as an operator would send it to somebody.
#[test]
fn no_street_is_in_any_log() {
    let (erp, site) = (Erp::with(8, 3), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "create.settle-seconds", "0");
    site.import("Alfa", &contacts(4));
    let streets: Vec<String> = erp
        .partners()
        .iter()
        .filter_map(|partner| {
            partner["partner_delivery_address_list"][0]["street"].as_str().map(str::to_owned)
        })
        .chain(["Čebelarska".to_owned(), "Nova ulica".to_owned(), "zaga.example".to_owned()])
        .collect();
    assert!(streets.len() > 3);
    let log = |what: &str| {
        let mut command = site.command(&["sync", "--tenant", "Alfa", "--direction", "bidirectional"]);
        command.env("HARNESS_LOG", "trace");
        let ran = site.finish(command, None);
        assert!(ran.err.contains("TRACE"), "{what}: nothing was logged\n{ran}");
        let table = sql::texts(
            &site.store(),
            "SELECT quote(message) || quote(context) FROM metakocka_integration_logs",
        );
        for street in &streets {
            assert!(!ran.err.contains(street.as_str()), "{what}: {street}\n{}", ran.err);
            assert!(
                !table.iter().any(|line| line.contains(street.as_str())),
                "{what}: {street} in the table"
            );
        }
    };
    erp.faults(json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 1 }]));
    log("creates, one answer lost");
    assert_eq!(sql::execute(&site.store(), "UPDATE contacts SET street = 'Nova ulica ' || id"), 12);
    erp.faults(
        json!([{ "match": "update_partner", "fault": "opr-1-without-commit", "opr_code": "2", "nth": 2,
        "text": "Not valid." }]),
    );
    log("updates, one of them refused");
}

/// The conflict was found by a run in both directions; resolving it goes the same way, whatever the tenant's setting.
#[test]
fn a_decision_is_carried_out_without_a_direction_setting() {
    let (erp, site) = (Erp::with(0, 1), site());
    site.tenant("Alfa", &erp);
    site.set("Alfa", "contacts.policy", "manual");
    site.import("Alfa", &contacts(2));
    let _ = site.sync("Alfa", "bidirectional");
    let contact = "company-00002";
    let partner = site.partner_of("Alfa", contact);
    let edit = format!("UPDATE contacts SET phone = '01 111 11 11' WHERE id = '{contact}'");
    assert_eq!(sql::execute(&site.store(), &edit), 1);
    erp.edit_phone(&partner, "01 222 22 22");
    let _ = site.sync("Alfa", "bidirectional");
    let list = site.json(&["conflicts", "list", "--tenant", "Alfa"]);
    let id = list[0]["id"].as_str().unwrap();
    let settled = site.json(&["conflicts", "resolve", "--tenant", "Alfa", "--id", id, "--take", "crm"]);
    assert_eq!(settled["settled"], true, "{settled:#}");
    assert_eq!(erp.partner(&partner)["partner_contact_list"][0]["phone"], "01 111 11 11");
    assert_eq!(site.contact("Alfa", contact)["phone"], "01 111 11 11");
    assert_eq!(site.json(&["conflicts", "list", "--tenant", "Alfa"]), json!([]));
}

/// A create that may have arrived belongs to its company like a link does.
#[test]
fn a_create_in_doubt_keeps_its_tenant_from_another_company() {
    let (erp, other, site) = (Erp::with(0, 1), Erp::with(0, 2), site());
    site.tenant("Alfa", &erp);
    site.import("Alfa", &contacts(1));
    erp.faults(json!([{ "match": "add_partner", "fault": "drop-before" }]));
    let ran = site.try_sync("Alfa", "to-metakocka");
    assert_eq!((&ran.json()["waiting"], site.links("Alfa").len()), (&1.into(), 0), "{ran}");
    let refused = site.try_connect("Alfa", &other).exits(2);
    assert!(refused.err.contains("Alfa"), "{refused}");
}

/// The engine itself looks at what a component asks for, before anything of it is compiled.
#[test]
fn a_component_that_asks_for_more_is_refused_by_the_engine() {
    // The smallest component: one import of an instance type.
    let name = "wasi:filesystem/types@0.2.6";
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.extend([7, 3, 1, 0x42, 0]);
    let mut import = vec![1, 0, u8::try_from(name.len()).unwrap()];
    import.extend(name.as_bytes());
    import.extend([5, 0]);
    component.extend([10, u8::try_from(import.len()).unwrap()]);
    component.extend(import);
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let refused = engine.load(&component).err().unwrap().to_string();
    println!("{refused}");
    assert!(refused.contains(name), "{refused}");
    // And by the command, with a sentence.
    let site = site();
    let erp = Erp::with(0, 1);
    site.tenant("Alfa", &erp);
    std::fs::write(site.path("foreign.wasm"), &component).unwrap();
    let ran = site.run(&["sync", "--tenant", "Alfa", "--plugin", "foreign.wasm"]);
    assert!(ran.code != 0 && ran.err.contains(name), "{ran}");
}
