//! Somebody else writes right before a commit of a run, whichever commit it is: no edit is lost, and both sides agree.

use host_harness::store::{Change, Collection, Expectation, Write};
use metakocka_sync::sync::request::Direction;
use proof::records::contact;
use serde_json::{Value, json};

use super::{FIRST, SECOND, in_step, partner_of, stored};
use crate::sim::convergence::agree;
use crate::sim::powers::{Fate, Race};
use crate::sim::{World, alone, company};

const BOTH: Direction = Direction::Bidirectional;

/// Work in both directions: an edit to carry here and one there, a create here and one there.
async fn busy(world: &World) {
    // Contested fields are the CRM's, so that every foreign edit must survive.
    world.set("contacts.policy", json!("crm")).await;
    in_step(world, [1, 2, 4]).await;
    world.edit_contact(FIRST, json!({ "phone": "01 777 77 77" })).await;
    let second = partner_of(world, SECOND).await;
    world.edit_row(&second, "partner_delivery_address_list", json!({ "street": "Nova 1" }));
    world.put_contact(&contact(6)).await;
    let _ = world.make_partner(company(8));
}

fn edit(id: &str, members: &Value) -> Vec<Write> {
    vec![Write {
        collection: Collection::Contacts,
        id: id.to_owned(),
        expect: Expectation::Any,
        change: Change::Merge(members.to_string().into()),
    }]
}

#[test]
fn a_foreign_edit_right_before_any_commit_is_kept_and_reaches_the_other_side() {
    alone(async {
        let first = World::new().await;
        busy(&first).await;
        let (_, counts) = first.run(BOTH, Fate::default()).await;
        let mut wrong = Vec::new();
        for commit in 1..=counts.commits {
            for id in [FIRST, SECOND, "company-00006"] {
                let world = first.fresh();
                busy(&world).await;
                let race = Race {
                    commit,
                    writes: edit(
                        id,
                        &json!({ "city": "Tujkovo", "street": "Tuja 1", "phone": "01 333 33 33" }),
                    ),
                };
                let (report, _) = world.run(BOTH, Fate { race: Some(race), ..Fate::default() }).await;
                assert!(report.unwrap().stopped.is_none());
                let mut why = world.to_rest(BOTH).await.err();
                let contact = stored(&world, id).await;
                let kept = [&contact["city"], &contact["street"], &contact["phone"]];
                if kept != ["Tujkovo", "Tuja 1", "01 333 33 33"] {
                    why = Some(format!("the edit was overwritten: {kept:?}"));
                }
                if let Some(why) = why.or(agree(&world).await.err()) {
                    wrong.push(format!("commit {commit} of {}, {id}: {why}", counts.commits));
                }
            }
        }
        println!("{} commits, three contacts each", counts.commits);
        assert!(counts.commits > 3);
        assert!(wrong.is_empty(), "{} went wrong\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// Whoever loses a race looks again, in the same run: what it was about to do is done, once, and counted once.
#[test]
fn a_lost_race_is_run_again_at_once() {
    alone(async {
        let from = Direction::FromMetakocka;
        for commit in 1..=2 {
            let world = World::new().await;
            in_step(&world, [2, 4]).await;
            for (id, street) in [(FIRST, "Nova 1"), (SECOND, "Nova 2")] {
                let partner = partner_of(&world, id).await;
                world.edit_row(&partner, "partner_delivery_address_list", json!({ "street": street }));
            }
            let race = Race { commit, writes: edit(SECOND, &json!({ "city": "Tujkovo" })) };
            let (report, counts) = world.run(from, Fate { race: Some(race), ..Fate::default() }).await;
            let report = report.unwrap();
            assert!(counts.commits >= commit, "{counts:?}");
            assert_eq!((report.crm_updated, report.failed), (2, 0), "{commit}: {report:?}");
            for (id, street) in [(FIRST, "Nova 1"), (SECOND, "Nova 2")] {
                assert_eq!(stored(&world, id).await["street"], street, "commit {commit}");
            }
            assert_eq!(stored(&world, SECOND).await["city"], "Tujkovo", "commit {commit}");
        }
    });
}

/// The CRM was empty when the run began. A contact that somebody makes meanwhile is linked, not made again.
#[test]
fn a_contact_made_during_a_first_import_is_found() {
    const PARTNERS: usize = 1_100;
    alone(async {
        let world = World::of(PARTNERS).await;
        // In the second page of a thousand: the first one is decided before anybody could know.
        let partners = world.partners();
        let late = partners[1_050..].iter().find(|partner| partner["tax_id_number"].is_string()).unwrap();
        let body =
            json!({ "company": late["customer"], "tax_number": late["tax_id_number"], "notes": "tuj" });
        let made = Write {
            collection: Collection::Contacts,
            id: "foreign".to_owned(),
            expect: Expectation::Absent,
            change: Change::Put(body.to_string().into()),
        };
        let race = Race { commit: 1, writes: vec![made] };
        let from = Direction::FromMetakocka;
        let (report, _) = world.run(from, Fate { race: Some(race), ..Fate::default() }).await;
        let report = report.unwrap();
        assert_eq!((report.crm_created, report.linked), (PARTNERS as u64 - 1, 1), "{report:?}");
        assert_eq!(partner_of(&world, "foreign").await, late["mk_id"].as_str().unwrap());
    });
}
