//! `demo`: a story in steps. Two companies with a sandbox Metakocka each, two tenants in one store, people who edit on
//! both sides, and an answer that gets lost.

use std::sync::Arc;

use clap::Args;
use indicatif::MultiProgress;
use metakocka_sandbox::{Options, Running, Sandbox};
use serde_json::{Value, json};

use super::crm::commit;
use super::result::describe;
use super::sync::{Direction, Task, bars, run_tenant};
use super::{Failure, Global, Outcome, output};
use crate::capability::http::{AllowedHosts, Transport, TransportOptions};
use crate::plugin::{COMPONENT, CacheFolder, Engine, EngineOptions, Plugin};
use crate::seal::{Keys, Secret};
use crate::store::{Access, Change, Collection, Entry, Expectation, Storage, Store, StoreUrl, Tenant, Write};

/// Tells the story. Everything happens in a temporary folder and on this machine.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many partners the first company has
    #[arg(long, default_value_t = 200)]
    partners: usize,
}

/// Everything the story is played with.
struct Stage {
    store: Store,
    plugin: Plugin,
    transport: Arc<Transport>,
    bars: MultiProgress,
    quiet: bool,
    steps: Vec<Value>,
    _folder: tempfile::TempDir,
}

/// One of the two companies.
struct Company {
    tenant: Tenant,
    erp: Running,
}

impl Demo {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let mut stage = Stage::build(global).await?;
        let alfa = stage.company("Alfa", 7, self.partners).await?;
        let beta = stage.company("Beta", 11, (self.partners / 4).max(1)).await?;
        stage.say(&format!(
            "Two tenants share one store: Alfa with {} partners in its Metakocka, Beta with {}. Both Metakockas run here, in \
             this process,\nand behave like the real one. The plugin is a WebAssembly component: it sees one tenant at a \
             time and never a password.\n",
            self.partners,
            (self.partners / 4).max(1)
        ));

        stage.step(
            "first import",
            "Both tenants meet their Metakocka for the first time. One call each reads everything.",
        );
        let from = Task::apply(Some(Direction::FromMetakocka), None);
        let first = stage.sync(&alfa, &from).await?;
        let second = stage.sync(&beta, &from).await?;
        stage.keep("first import", json!([first, second]));
        let beta_before = stage.fingerprint(&beta).await?;

        let edits = stage.people_edit(&alfa).await?;
        stage.keep("people edit on both sides", edits);

        stage.step(
            "second run",
            "Both ways now. Fields changed on one side travel; the contested phone waits for a person, the rest of its \
             record does not.",
        );
        let both = Task::apply(Some(Direction::Bidirectional), None);
        let result = stage.sync(&alfa, &both).await?;
        stage.keep("second run", result);

        let result = stage.decide(&alfa, &both).await?;
        stage.keep("a person decides", result);

        let result = stage.lost_answer(&alfa, &both).await?;
        stage.keep("a lost answer", result);

        let beta_after = stage.fingerprint(&beta).await?;
        let untouched = beta_before == beta_after;
        stage.step("the other tenant", "Nothing of this has touched Beta.");
        stage.say(&format!(
            "  Beta's records and Beta's Metakocka are {}\n",
            if untouched { "byte for byte what they were." } else { "CHANGED: this must never happen." }
        ));
        stage.keep("the other tenant", json!({ "untouched": untouched }));

        stage.step(
            "third run",
            "Nobody has edited anything. A run that writes now would be chasing its own echo.",
        );
        let result = stage.sync(&alfa, &both).await?;
        let quiet = result.get("created") == Some(&json!(0)) && result.get("updated") == Some(&json!(0));
        stage.keep("third run", result);

        stage.store.clone().close().await;
        if global.json {
            output::print_json(&json!({ "steps": stage.steps }));
        } else {
            output::print_line(format_args!(
                "Where to go from here: `host-harness sandbox`, `tenant add`, `connect`, `sync` - see README.md."
            ));
        }
        alfa.erp.stop().await;
        beta.erp.stop().await;
        if untouched && quiet { Ok(()) } else { Err(Failure::failed("the story did not end as it should")) }
    }
}

impl Stage {
    async fn build(global: &Global) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::usage)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(Failure::usage)?;
        let keys = Keys::from_bytes(seed);
        let store =
            Store::open(&StoreUrl::file(folder.path().join("demo.db")), Access::Write, keys.clone()).await?;
        let mac = Arc::new(move |bytes: &[u8]| keys.mac("component-cache", bytes));
        let engine = Engine::new(EngineOptions {
            cache: Some(CacheFolder::new(folder.path().join("cache"), mac)),
            memory_dumps: false,
        })
        .map_err(Failure::usage)?;
        let plugin = engine.load(COMPONENT).map_err(Failure::usage)?;
        // The story's Metakockas are children of this very process, so calling this machine is meant.
        let allowed_hosts = AllowedHosts::default().and("127.0.0.1");
        let transport = Transport::new(TransportOptions { allowed_hosts, ..TransportOptions::default() })
            .map_err(Failure::usage)?;
        Ok(Self {
            store,
            plugin,
            transport,
            bars: bars(global),
            quiet: global.json,
            steps: Vec::new(),
            _folder: folder,
        })
    }

    async fn company(&self, name: &str, seed: u64, partners: usize) -> Result<Company, Failure> {
        let options = Options { seed, partners, ..Options::default() };
        let erp = metakocka_sandbox::start(options).await.map_err(Failure::usage)?;
        let tenant = self.store.add_tenant(name, None, None).await?;
        self.store
            .connect(&tenant, &erp.base_url, &erp.company_id, &Secret::new(erp.secret_key.clone()))
            .await?;
        // A lost answer should not make the audience wait for minutes.
        self.store.set_setting(&tenant, "create.settle-seconds", &json!(2)).await?;
        self.store.set_setting(&tenant, "contacts.policy.phone", &json!("manual")).await?;
        Ok(Company { tenant, erp })
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            output::print_line(format_args!("{text}"));
        }
    }

    fn step(&self, name: &str, text: &str) {
        self.say(&format!("== {name}\n   {text}"));
    }

    fn keep(&mut self, name: &str, result: Value) {
        self.steps.push(json!({ "name": name, "result": result }));
    }

    async fn sync(&self, company: &Company, task: &Task) -> Result<Value, Failure> {
        let result =
            run_tenant(&self.store, &self.plugin, &self.transport, &self.bars, &company.tenant, task).await?;
        self.say(&describe(&company.tenant.name, &result));
        if result.get("success") != Some(&Value::Bool(true)) {
            return Err(Failure::failed("a run of the story failed"));
        }
        self.say("");
        Ok(result)
    }

    async fn room(&self, company: &Company) -> Result<Arc<dyn Storage>, Failure> {
        Ok(self.store.storage(&company.tenant).await?)
    }

    /// Linked contacts with all the fields the story needs: (contact id, partner id).
    async fn cast(&self, company: &Company) -> Result<Vec<(String, String)>, Failure> {
        let room = self.room(company).await?;
        let mut cast = Vec::new();
        let links = room.scan(Collection::Links, None, &[], 1_000).await?;
        for link in links {
            let found = room.get_many(Collection::Contacts, std::slice::from_ref(&link.id)).await?;
            let contact = found.first().map(member_of);
            let body: Value = serde_json::from_slice(&link.body).map_err(Failure::failed)?;
            let partner = body.get("metakocka_id").and_then(Value::as_str);
            if let (Some(contact), Some(partner)) = (contact, partner)
                && ["phone", "street", "company"].iter().all(|name| contact.get(name).is_some())
            {
                cast.push((link.id, partner.to_owned()));
            }
        }
        Ok(cast)
    }

    async fn people_edit(&mut self, company: &Company) -> Result<Value, Failure> {
        self.step("people edit on both sides", "Somebody works in the CRM, somebody else in Metakocka.");
        let cast = self.cast(company).await?;
        let [first, second, ..] = cast.as_slice() else {
            return Err(Failure::usage("the story needs more partners: give --partners 50 or more"));
        };
        let erp = company.erp.sandbox();
        self.merge(company, &first.0, json!({ "phone": "01 234 56 78" })).await?;
        edit_street(erp, &first.1, "Nova ulica 12")?;
        self.merge(company, &second.0, json!({ "phone": "01 111 11 11", "position": "direktorica" })).await?;
        edit_phone(erp, &second.1, "01 222 22 22")?;
        edit_street(erp, &second.1, "Stara cesta 3")?;
        let id = uuid::Uuid::now_v7().to_string();
        let contact = json!({
            "company": "Čebelica d.o.o.", "firstname": "Živa", "lastname": "Škrlj", "email": "ziva@cebelica.example",
            "phone": "041 555 123", "street": "Medena pot 1", "postal_code": "4000", "city": "Kranj",
            "country": "Slovenija", "tax_number": "SI99887766",
        });
        self.put(company, &id, &contact).await?;
        erp.edit(&json!({ "op": "create", "kind": "partner", "fields": {
            "customer": "Jurček s.p.", "business_entity": "true", "buyer": "true", "tax_id_number": "SI11223344" } }))
            .map_err(Failure::failed)?;
        self.say(
            "  one record: phone changed in the CRM, street changed in Metakocka\n  \
             another:    phone changed on BOTH sides, street changed in Metakocka, position in the CRM\n  \
             new:        Čebelica d.o.o. in the CRM, Jurček s.p. in Metakocka\n",
        );
        Ok(json!({ "edited": [first.0, second.0], "created": { "crm": id, "metakocka": "Jurček s.p." } }))
    }

    /// The conflict of the story, and its decision.
    async fn decide(&mut self, company: &Company, task: &Task) -> Result<Value, Failure> {
        self.step(
            "a person decides",
            "The policy of the phone is `manual`, so both values are shown side by side.",
        );
        let room = self.room(company).await?;
        let found = room.scan(Collection::Conflicts, None, &[], 10).await?;
        let Some(entry) = found.first() else {
            return Err(Failure::failed("the story's conflict is missing"));
        };
        let body = member_of(entry);
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        self.say(&format!(
            "  {}: agreed before {}, CRM says {}, Metakocka says {}. Decision: the CRM's counts.",
            text("field"),
            text("base"),
            text("crm"),
            text("metakocka")
        ));
        let write = Write {
            collection: Collection::Conflicts,
            id: entry.id.clone(),
            expect: Expectation::Revision(entry.revision),
            change: Change::Merge(json!({ "decision": "crm" }).to_string().into_bytes()),
        };
        commit(&*room, vec![write]).await?;
        self.sync(company, task).await
    }

    /// A create whose answer is lost after Metakocka has carried it out.
    async fn lost_answer(&mut self, company: &Company, task: &Task) -> Result<Value, Failure> {
        self.step(
            "a lost answer",
            "A new contact goes to Metakocka, which creates the partner - and the line breaks before its answer arrives.",
        );
        let contact = json!({
            "company": "Izgubljeni odgovor d.o.o.", "street": "Vzorčna 5", "postal_code": "1000", "city": "Ljubljana",
            "country": "Slovenija", "tax_number": "SI55443322",
        });
        let id = uuid::Uuid::now_v7().to_string();
        self.put(company, &id, &contact).await?;
        let erp = company.erp.sandbox();
        erp.faults(&json!([{ "match": "add_partner", "fault": "commit-then-drop", "nth": 1 }]))
            .map_err(Failure::failed)?;
        let result = self.sync(company, task).await?;
        erp.faults(&json!([])).map_err(Failure::failed)?;
        let state = erp.state();
        let copies = state
            .get("partners")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|partner| partner.get("tax_id_number") == Some(&json!("SI55443322")))
            .count();
        self.say(&format!("  Metakocka holds {copies} partner with this tax number. Not two, not none.\n"));
        if copies == 1 { Ok(result) } else { Err(Failure::failed("the lost answer was not survived")) }
    }

    async fn put(&self, company: &Company, id: &str, body: &Value) -> Result<(), Failure> {
        self.write(company, id, Change::Put(body.to_string().into_bytes())).await
    }

    async fn merge(&self, company: &Company, id: &str, body: Value) -> Result<(), Failure> {
        self.write(company, id, Change::Merge(body.to_string().into_bytes())).await
    }

    async fn write(&self, company: &Company, id: &str, change: Change) -> Result<(), Failure> {
        let room = self.room(company).await?;
        let write =
            Write { collection: Collection::Contacts, id: id.to_owned(), expect: Expectation::Any, change };
        commit(&*room, vec![write]).await
    }

    /// Everything a tenant and its Metakocka hold, as text.
    async fn fingerprint(&self, company: &Company) -> Result<String, Failure> {
        let room = self.room(company).await?;
        let mut text = company.erp.sandbox().state().to_string();
        for collection in Collection::ALL {
            for entry in room.scan(collection, None, &[], 10_000).await? {
                text.push_str(&format!(
                    "{} {} {}",
                    entry.id,
                    entry.revision,
                    String::from_utf8_lossy(&entry.body)
                ));
            }
        }
        Ok(text)
    }
}

fn member_of(entry: &Entry) -> Value {
    serde_json::from_slice(&entry.body).unwrap_or(Value::Null)
}

/// One row of a partner's list with one member changed, as a person in the ERP's screens would leave it.
fn edit_list(
    erp: &Sandbox,
    mk_id: &str,
    list: &str,
    pick: impl Fn(&Value) -> bool,
    change: &Value,
) -> Result<(), Failure> {
    let state = erp.state();
    let partner = state
        .get("partners")
        .and_then(Value::as_array)
        .and_then(|partners| partners.iter().find(|partner| partner.get("mk_id") == Some(&json!(mk_id))));
    let mut rows =
        partner.and_then(|partner| partner.get(list)).and_then(Value::as_array).cloned().unwrap_or_default();
    let position = rows.iter().position(pick).unwrap_or(0);
    if let (Some(row), Some(change)) =
        (rows.get_mut(position).and_then(Value::as_object_mut), change.as_object())
    {
        row.extend(change.clone());
    }
    erp.edit(&json!({ "op": "update", "kind": "partner", "mk_id": mk_id, "fields": { list: rows } }))
        .map(|_| ())
        .map_err(Failure::failed)
}

fn edit_street(erp: &Sandbox, mk_id: &str, street: &str) -> Result<(), Failure> {
    let billing = |row: &Value| row.get("address_type") == Some(&json!("Račun"));
    edit_list(erp, mk_id, "partner_delivery_address_list", billing, &json!({ "street": street }))
}

fn edit_phone(erp: &Sandbox, mk_id: &str, phone: &str) -> Result<(), Failure> {
    edit_list(erp, mk_id, "partner_contact_list", |_| true, &json!({ "phone": phone }))
}
