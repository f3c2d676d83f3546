//! What a run and its books tell people: what was done, record by record; what is left; why.

use std::collections::BTreeMap;

use host_harness::store::{Change, Collection};
use metakocka_sync::sync::merge::Side;
use metakocka_sync::sync::report::{Happened, Report};
use metakocka_sync::sync::request::Direction;
use metakocka_sync::sync::unsynced::{UnsyncedPage, unsynced};
use serde_json::{Map, Value, json};

use super::powers::{Fate, Powers, Said};
use super::{World, alone, company};

/// Every run of these simulations names exactly what it counts.
pub(super) fn items_are_the_counts(report: &Report) {
    if report.items_left_out > 0 {
        return;
    }
    let named = |action, side| {
        report.items.iter().filter(|item| (item.action, item.side) == (action, side)).count() as u64
    };
    let wanted = [
        (Happened::Created, Side::Crm, report.crm_created),
        (Happened::Updated, Side::Crm, report.crm_updated),
        (Happened::Deactivated, Side::Crm, report.crm_deactivated),
        (Happened::Created, Side::Metakocka, report.metakocka_created),
        (Happened::Updated, Side::Metakocka, report.metakocka_updated),
        (Happened::Linked, Side::Metakocka, report.linked),
    ];
    for (action, side, count) in wanted {
        assert_eq!(named(action, side), count, "{action:?} {side:?} {report:?}");
    }
    for item in report.items.iter().filter(|item| {
        matches!(
            item.action,
            Happened::Created | Happened::Updated | Happened::Linked | Happened::Deactivated
        )
    }) {
        assert!(item.crm_id.is_some() && item.metakocka_id.is_some(), "{item:?}");
    }
}

/// What was done, in words.
fn told(report: &Report) -> Vec<String> {
    let text = |item: &metakocka_sync::sync::report::ReportItem| {
        format!(
            "{:?} {:?} {} {}",
            item.action,
            item.side,
            item.crm_id.as_ref().map_or("-", |id| &id.0),
            item.metakocka_id.as_ref().map_or("-", |id| &id.0)
        )
    };
    report.items.iter().map(text).collect()
}

async fn link(world: &World) -> (String, Map<String, Value>) {
    let (entry, body) = world.entries(Collection::Links).await.remove(0);
    (entry.id, body)
}

async fn unsynced_of(world: &World) -> UnsyncedPage {
    let powers = Powers::new(world, Fate::default());
    let mut all = UnsyncedPage::default();
    let mut after = None;
    loop {
        // Pages of one: the places between them are tried as well.
        let page = unsynced(powers.lend(), after, 1).await.unwrap();
        all.total = all.total.or(page.total);
        all.never_scanned = page.never_scanned;
        all.rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            assert_eq!(all.total, Some(all.rows.len() as u64), "{all:?}");
            return all;
        }
    }
}

fn contact(id: &str, number: usize) -> Value {
    json!({ "id": id, "company": format!("Stranka {number} d.o.o."), "tax_number": format!("SI{}", 60_000_000 + number),
        "street": "Cesta 1", "postal_code": "1000", "city": "Ljubljana", "country": "Slovenija", "status": "active" })
}

#[test]
fn items_name_both_records() {
    alone(async {
        let world = World::new().await;
        let partner = world.make_partner(company(1));
        world.put_contact(&contact("new", 2)).await;
        world
            .put_contact(&json!({ "id": "bad", "company": "Brez naslova d.o.o.", "status": "active" }))
            .await;
        let report = world.sync(Direction::Bidirectional).await;
        let links = world.links().await;
        let contact = links.iter().find(|(_, link)| link.0 == partner).unwrap().0;
        let made = &links["new"].0;
        assert_eq!(
            told(&report),
            [
                format!("Created Crm {contact} {partner}"),
                "Failed Crm bad -".to_owned(),
                format!("Created Metakocka new {made}"),
            ]
        );
        assert_eq!(report.errors[0].crm_id.as_ref().unwrap().0, "bad");

        world.edit_contact("new", json!({ "city": "Kranj" })).await;
        world.edit_row(&partner, "partner_contact_list", json!({ "phone": "01 800 0001" }));
        let report = world.sync(Direction::Bidirectional).await;
        assert_eq!(
            told(&report),
            [format!("Updated Crm {contact} {partner}"), format!("Updated Metakocka new {made}")]
        );

        world.sandbox().edit(&json!({ "op": "delete", "kind": "partner", "mk_id": partner })).unwrap();
        let report = world.sync(Direction::FromMetakocka).await;
        assert_eq!(told(&report), [format!("Deactivated Crm {contact} {partner}")]);
    });
}

#[test]
fn a_link_says_when_the_pair_was_in_step_and_why_it_is_not() {
    alone(async {
        let world = World::new().await;
        let _ = world.make_partner(company(1));
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let (id, first) = link(&world).await;
        assert!(first["last_synced_at"].is_string() && first["crm_hash"].is_string(), "{first:?}");
        assert!(first["crm_modified_at"].is_string(), "{first:?}");

        let later = world.clock.get() + 3_600_000;
        world.clock.set(later);
        world.edit_contact(&id, json!({ "phone": "01 700 0001" })).await;
        world.say(|path, _| {
            if path.ends_with("update_partner") {
                let answer = json!({ "opr_code": "6", "opr_desc": "Telefon ni dovoljen a@b.example" });
                Said::Instead(200, None, answer.to_string())
            } else {
                Said::ByErp
            }
        });
        let report = world.sync(Direction::Bidirectional).await;
        assert_eq!(report.failed, 1);
        let (_, refused) = link(&world).await;
        assert_eq!(refused["sync_status"], "error");
        let error = refused["sync_error"].as_str().unwrap();
        assert!(error.contains("Telefon ni dovoljen") && !error.contains("a@b.example"), "{error}");
        for kept in ["last_synced_at", "crm_hash", "crm_modified_at"] {
            assert_eq!(refused[kept], first[kept], "{kept}");
        }

        world.say_nothing();
        world.edit_contact(&id, json!({ "phone": "01 700 0002" })).await;
        world.clock.set(later + 1_000);
        let report = world.sync(Direction::Bidirectional).await;
        assert_eq!(report.metakocka_updated, 1);
        let (_, done) = link(&world).await;
        assert_eq!(done.get("sync_error"), None, "{done:?}");
        assert_eq!(done["sync_status"], "synced");
        for moved in ["last_synced_at", "crm_hash", "crm_modified_at", "raw_hash", "mk_modified_at"] {
            assert_ne!(done[moved], first[moved], "{moved}");
        }
        let (_, counts) = world.run(Direction::Bidirectional, Fate::default()).await;
        assert_eq!((counts.commits, counts.erp_writes), (0, 0));
    });
}

#[test]
fn a_failed_update_that_was_taken_back_is_over() {
    alone(async {
        let world = World::new().await;
        let _ = world.make_partner(company(1));
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let (id, _) = link(&world).await;
        world.edit_contact(&id, json!({ "country": "Atlantida" })).await;
        assert_eq!(world.sync(Direction::Bidirectional).await.failed, 1);
        assert!(link(&world).await.1["sync_error"].as_str().unwrap().contains("Atlantida"));
        world.edit_contact(&id, json!({ "country": "Slovenija" })).await;
        assert_eq!(world.sync(Direction::Bidirectional).await.failed, 0);
        let (_, link) = link(&world).await;
        assert_eq!((link.get("sync_error"), &link["sync_status"]), (None, &json!("synced")));
        assert!(world.entries(Collection::Quarantine).await.is_empty());
    });
}

#[test]
fn what_is_not_mapped_stays_readable_and_never_goes_back() {
    alone(async {
        let world = World::new().await;
        let mut fields = company(1);
        fields["supplier"] = json!("true");
        fields["partner_contact_list"] = json!([
            { "name": "Oseba 1", "email": "p1@podjetje.example" },
            { "name": "Druga Oseba", "email": "druga@podjetje.example" },
        ]);
        let partner = world.make_partner(fields);
        world.to_rest(Direction::Bidirectional).await.unwrap();
        let (id, before) = link(&world).await;
        let kept = &before["metadata"]["metakocka"];
        assert_eq!(kept["supplier"], "true", "{kept:#}");
        assert_eq!(kept["partner_contact_list"][1]["name"], "Druga Oseba", "{kept:#}");
        for mapped in ["mk_id", "customer", "tax_id_number"] {
            assert_eq!(kept.get(mapped), None, "{kept:#}");
        }

        world.edit_contact(&id, json!({ "city": "Kranj" })).await;
        world.sync(Direction::Bidirectional).await;
        assert_eq!(link(&world).await.1["metadata"]["metakocka"]["supplier"], "true");
        let sent: Vec<String> = world
            .journal
            .borrow()
            .iter()
            .filter(|request| request.path.ends_with("update_partner"))
            .map(|request| request.body.to_string())
            .collect();
        assert_eq!(sent.len(), 1);
        assert!(!sent[0].contains("Druga") && !sent[0].contains("supplier"), "{sent:?}");

        // A change of nothing but such a member is kept too.
        world.edit_partner(&partner, json!({ "supplier": "false" }));
        world.sync(Direction::FromMetakocka).await;
        assert_eq!(link(&world).await.1["metadata"]["metakocka"]["supplier"], "false");
        world.to_rest(Direction::Bidirectional).await.unwrap();
    });
}

#[test]
fn unsynced_says_what_is_true() {
    alone(async {
        let world = World::new().await;
        let page = unsynced_of(&world).await;
        assert!(page.never_scanned && page.rows.is_empty(), "{page:?}");
        world.put_contact(&contact("lonely", 9)).await;
        let page = unsynced_of(&world).await;
        assert!(page.never_scanned && page.rows.len() == 1, "{page:?}");
        world.put_contact(&contact("twin1", 1)).await;
        world.put_contact(&contact("twin2", 1)).await;
        let gone = world.make_partner(company(1));
        let abandoned = world.make_partner(company(2));
        let mut twin = company(3);
        twin["tax_id_number"] = json!("SI60000001");
        let ambiguous = world.make_partner(twin);
        world.sync(Direction::FromMetakocka).await;
        let by_partner: BTreeMap<String, String> =
            world.links().await.into_iter().map(|(contact, link)| (link.0, contact)).collect();
        assert_eq!(by_partner.len(), 2);
        let page = unsynced_of(&world).await;
        assert!(!page.never_scanned);

        world.sandbox().edit(&json!({ "op": "delete", "kind": "partner", "mk_id": gone })).unwrap();
        world.write(Collection::Contacts, &by_partner[&abandoned], Change::Delete).await;
        world.sync(Direction::FromMetakocka).await;
        let page = unsynced_of(&world).await;
        let rows: BTreeMap<&str, _> = page
            .rows
            .iter()
            .map(|row| (row.crm_id.as_deref().or(row.metakocka_id.as_deref()).unwrap(), row))
            .collect();
        assert_eq!(rows.len(), 6, "{rows:#?}");
        for id in ["lonely", "twin1", "twin2"] {
            assert_eq!((rows[id].status, &rows[id].reason), ("not_synced", &None));
            assert!(rows[id].shown.name.as_deref().unwrap().starts_with("Stranka"));
        }
        let row = rows[by_partner[&gone].as_str()];
        assert_eq!(row.status, "not_synced");
        assert!(row.reason.as_deref().unwrap().contains("is gone from Metakocka"), "{row:?}");
        assert_eq!(row.shown.email.as_deref(), Some("p1@podjetje.example"));
        let row = rows[abandoned.as_str()];
        assert!(row.reason.as_deref().unwrap().contains("deleted in the CRM"), "{row:?}");
        let row = rows[ambiguous.as_str()];
        assert_eq!((row.status, row.shown.name.as_deref()), ("needs_review", Some("Podjetje 3 d.o.o.")));
        assert_eq!(row.shown.phone.as_deref(), Some("01 300 0003"));
        assert!(row.shown.code.is_some() && row.shown.email.is_some(), "{row:?}");
    });
}

#[test]
fn an_empty_company_was_read_all_the_same() {
    alone(async {
        let world = World::new().await;
        world.sync(Direction::ToMetakocka).await;
        assert!(unsynced_of(&world).await.never_scanned);
        world.sync(Direction::FromMetakocka).await;
        assert!(!unsynced_of(&world).await.never_scanned);
        let (_, counts) = world.run(Direction::FromMetakocka, Fate::default()).await;
        assert_eq!(counts.commits, 0);
    });
}

#[test]
fn each_record_in_trouble_has_its_line() {
    alone(async {
        let world = World::new().await;
        world
            .put_contact(
                &json!({ "id": "bad", "company": "Skrivno d.o.o.", "country": "Atlantida", "status": "active" }),
            )
            .await;
        for id in ["twin1", "twin2"] {
            world.put_contact(&contact(id, 1)).await;
        }
        let mut twin = company(3);
        twin["tax_id_number"] = json!("SI60000001");
        let ambiguous = world.make_partner(twin);
        let _ = world.sync(Direction::FromMetakocka).await;
        let _ = world.sync(Direction::ToMetakocka).await;
        let lines = world.log.borrow();
        let line = |member: &str, id: &str| {
            let found: Vec<_> = lines
                .iter()
                .filter(|line| line.fields.get(member).is_some_and(|known| known == id))
                .filter(|line| line.fields.contains_key("class"))
                .collect();
            assert_eq!(found.len(), 1, "{id} {lines:#?}");
            found[0].fields.clone()
        };
        let failed = line("crm_id", "bad");
        assert_eq!((&*failed["code"], &*failed["class"]), ("validation", "record"));
        assert_eq!(failed["operation"], "sync_to_metakocka");
        assert!(failed["advice"].contains("quarantine list"));
        let parked = line("metakocka_id", &ambiguous);
        assert_eq!((&*parked["code"], &*parked["class"]), ("ambiguous-match", "review"));
        assert_eq!(parked["operation"], "sync_from_metakocka");
        for text in ["Skrivno", "Atlantida"] {
            assert!(!format!("{lines:?}").contains(text), "{lines:#?}");
        }
    });
}
