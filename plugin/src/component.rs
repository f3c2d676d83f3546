//! The component: translates between the generated bindings and the brain. Nothing else knows the bindings.

use std::cell::Cell;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::metakocka::client::Client;
use crate::metakocka::outcome::CallError;
use crate::ports::{self, Powers};
use crate::sync::settings::Settings;
use crate::sync::{merge, report as brain_report, request, run, unsynced};

mod bindings {
    #![expect(unsafe_code, reason = "generated; the contract documents its items")]
    wit_bindgen::generate!({ world: "plugin", path: "../wit" });
    export!(Plugin with_types_in self);
    use super::Plugin;
}

use bindings::exports::metakocka::crm_sync::sync as exported;
use bindings::metakocka::crm_sync::{clock, http, logging, storage};

struct Plugin;

struct Host;

const HOST: Host = Host;

fn powers() -> Powers<'static> {
    thread_local!(static HOOKED: Cell<bool> = const { Cell::new(false) });
    if !HOOKED.replace(true) {
        // Without this a panic ends in an import the host answers with a trap, and its text is lost.
        std::panic::set_hook(Box::new(|info| {
            logging::log(
                logging::Level::Error,
                logging::Category::General,
                &format!("the plugin panicked: {info}"),
                &[],
            );
        }));
    }
    Powers { http: &HOST, storage: &HOST, log: &HOST, clock: &HOST }
}

impl exported::Guest for Plugin {
    fn describe() -> exported::Description {
        exported::Description {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: vec![exported::Kind::Contacts],
        }
    }

    async fn test_connection() -> Result<String, exported::Failure> {
        let retry = Settings::read(powers()).await.map(|settings| settings.retry).unwrap_or_default();
        let client = Client::new(powers(), retry);
        match client.probe().await {
            Ok(count) => Ok(format!("Metakocka answers; the company has {count} warehouses")),
            Err(error) => Err(call_failure(&error)),
        }
    }

    async fn run(request: exported::RunRequest) -> Result<exported::Report, exported::Failure> {
        let exported::Kind::Contacts = request.kind;
        let request = request::RunRequest {
            run_id: request.run_id,
            direction: match request.direction {
                exported::Direction::FromMetakocka => request::Direction::FromMetakocka,
                exported::Direction::ToMetakocka => request::Direction::ToMetakocka,
                exported::Direction::Bidirectional => request::Direction::Bidirectional,
            },
            selection: match request.selection {
                exported::Selection::Everything => request::Selection::Everything,
                exported::Selection::Ids(ids) => request::Selection::Ids(ids),
            },
            mode: match request.mode {
                exported::Mode::Apply => request::Mode::Apply,
                exported::Mode::Plan => request::Mode::Plan(request.plan_id),
                exported::Mode::ApplyPlan => request::Mode::ApplyPlan(request.plan_id),
            },
            allow_mass_deactivation: request.allow_mass_deactivation,
        };
        run::run(powers(), &request).await.map(report).map_err(failure)
    }

    async fn unsynced(
        _: exported::Kind,
        after: Option<String>,
        limit: u32,
    ) -> Result<exported::UnsyncedPage, exported::Failure> {
        let page = unsynced::unsynced(powers(), after, limit).await.map_err(failure)?;
        let rows = page
            .rows
            .into_iter()
            .map(|row| exported::UnsyncedRow {
                side: side(row.side),
                crm_id: row.crm_id,
                metakocka_id: row.metakocka_id,
                status: row.status.to_owned(),
                reason: row.reason,
                code: row.shown.code,
                name: row.shown.name,
                email: row.shown.email,
                phone: row.shown.phone,
            })
            .collect();
        Ok(exported::UnsyncedPage {
            rows,
            next: page.next,
            total: page.total,
            never_scanned: page.never_scanned,
        })
    }
}

const fn side(side: merge::Side) -> exported::Side {
    match side {
        merge::Side::Metakocka => exported::Side::Metakocka,
        merge::Side::Crm => exported::Side::Crm,
    }
}

fn item(item: brain_report::ReportItem) -> exported::Item {
    use brain_report::Happened;
    exported::Item {
        action: match item.action {
            Happened::Created => exported::Action::Created,
            Happened::Updated => exported::Action::Updated,
            Happened::Linked => exported::Action::Linked,
            Happened::Deactivated => exported::Action::Deactivated,
            Happened::Failed => exported::Action::Failed,
            Happened::Parked => exported::Action::Parked,
        },
        side: side(item.side),
        crm_id: item.crm_id.map(|id| id.0),
        metakocka_id: item.metakocka_id.map(|id| id.0),
    }
}

fn call_failure(error: &CallError) -> exported::Failure {
    exported::Failure { code: error.code().to_owned(), message: error.to_string() }
}

fn failure(failure: brain_report::Failure) -> exported::Failure {
    exported::Failure { code: failure.code, message: failure.message }
}

fn report(report: brain_report::Report) -> exported::Report {
    exported::Report {
        success: report.success(),
        stopped: report.stopped.map(failure),
        crm_created: report.crm_created,
        crm_updated: report.crm_updated,
        crm_deactivated: report.crm_deactivated,
        metakocka_created: report.metakocka_created,
        metakocka_updated: report.metakocka_updated,
        linked: report.linked,
        unchanged: report.unchanged,
        held: report.held,
        waiting: report.waiting,
        waiting_until: report.waiting_until.map(|time| time.text()),
        parked: report.parked,
        quarantined: report.quarantined,
        failed: report.failed,
        conflicts: report.conflicts,
        taken: report.taken,
        seen: report.seen,
        errors: report
            .errors
            .into_iter()
            .map(|error| exported::RecordError {
                id: error.id,
                error: error.error,
                code: error.code,
                crm_id: error.crm_id.map(|id| id.0),
                metakocka_id: error.metakocka_id.map(|id| id.0),
            })
            .collect(),
        items: report.items.into_iter().map(item).collect(),
        items_left_out: report.items_left_out,
        calls_made: report.calls_made,
        calls_least: report.calls_least,
        plan_hash: report.plan_hash,
    }
}

impl ports::Http for Host {
    fn send(&self, request: ports::Request) -> LocalBoxFuture<'_, Result<ports::Response, ports::HttpError>> {
        async move {
            let sent = http::send(http::Request {
                connection: "metakocka".to_owned(),
                path: request.path.to_owned(),
                body: request.body,
                lane: match request.lane {
                    ports::Lane::Point => http::Lane::Point,
                    ports::Lane::Scan => http::Lane::Scan,
                },
                timeout_ms: request.timeout_ms,
            })
            .await;
            let response = sent.map_err(http_error)?;
            Ok(ports::Response {
                status: response.status,
                retry_after_ms: response.retry_after_ms,
                body: Box::new(Body(response.body)),
            })
        }
        .boxed_local()
    }

    fn hold_off(&self, milliseconds: u64) {
        http::hold_off("metakocka", milliseconds);
    }
}

struct Body(http::Body);

impl ports::Body for Body {
    fn read(&self, max: u32) -> LocalBoxFuture<'_, Result<Vec<u8>, ports::HttpError>> {
        async move { self.0.read(max).await.map_err(http_error) }.boxed_local()
    }

    fn rewind(&self) {
        self.0.rewind();
    }

    fn length(&self) -> u64 {
        self.0.length()
    }
}

fn http_error(error: http::HttpError) -> ports::HttpError {
    ports::HttpError {
        kind: match error.kind {
            http::ErrorKind::UnknownConnection => ports::HttpErrorKind::UnknownConnection,
            http::ErrorKind::RefusedByPolicy => ports::HttpErrorKind::RefusedByPolicy,
            http::ErrorKind::Unavailable => ports::HttpErrorKind::Unavailable,
            http::ErrorKind::TimedOut => ports::HttpErrorKind::TimedOut,
            http::ErrorKind::TooLarge => ports::HttpErrorKind::TooLarge,
            http::ErrorKind::OutOfBudget => ports::HttpErrorKind::OutOfBudget,
        },
        message: error.message,
        may_have_arrived: error.may_have_arrived,
        retry_after_ms: error.retry_after_ms,
    }
}

fn entry(entry: storage::Entry) -> ports::Entry {
    ports::Entry {
        id: entry.id,
        revision: entry.revision,
        modified_at: entry.modified_at,
        deleted: entry.deleted,
        body: entry.body,
    }
}

fn storage_error(error: storage::StorageError) -> ports::StorageError {
    match error {
        storage::StorageError::Invalid(text) => ports::StorageError::Invalid(text),
        storage::StorageError::Unavailable(text) => ports::StorageError::Unavailable(text),
    }
}

impl ports::Storage for Host {
    fn get_page<'a>(
        &'a self,
        collection: &'static str,
        ids: Vec<String>,
    ) -> LocalBoxFuture<'a, Result<Vec<ports::Entry>, ports::StorageError>> {
        async move {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let found = storage::get_many(collection.to_owned(), ids).await.map_err(storage_error)?;
            Ok(found.into_iter().map(entry).collect())
        }
        .boxed_local()
    }

    fn find_page<'a>(
        &'a self,
        collection: &'static str,
        index: &'static str,
        keys: Vec<String>,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Vec<(usize, ports::Entry)>, ports::StorageError>> {
        async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let found = storage::find_many(collection.to_owned(), index.to_owned(), keys, limit)
                .await
                .map_err(storage_error)?;
            Ok(found.into_iter().map(|found| (found.key as usize, entry(found.entry))).collect())
        }
        .boxed_local()
    }

    fn scan<'a>(
        &'a self,
        collection: &'static str,
        after: Option<String>,
        members: &'a [&'static str],
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<Vec<ports::Entry>, ports::StorageError>> {
        async move {
            let members = members.iter().map(|member| (*member).to_owned()).collect();
            let found =
                storage::scan(collection.to_owned(), after, members, limit).await.map_err(storage_error)?;
            Ok(found.into_iter().map(entry).collect())
        }
        .boxed_local()
    }

    fn count<'a>(&'a self, collection: &'static str) -> LocalBoxFuture<'a, Result<u64, ports::StorageError>> {
        async move { storage::count(collection.to_owned()).await.map_err(storage_error) }.boxed_local()
    }

    fn changes<'a>(
        &'a self,
        collection: &'static str,
        after: u64,
        limit: u32,
    ) -> LocalBoxFuture<'a, Result<ports::ChangePage, ports::StorageError>> {
        async move {
            let page = storage::changes(collection.to_owned(), after, limit).await.map_err(storage_error)?;
            Ok(ports::ChangePage { entries: page.entries.into_iter().map(entry).collect(), next: page.next })
        }
        .boxed_local()
    }

    fn commit(
        &self,
        writes: Vec<ports::Write>,
    ) -> LocalBoxFuture<'_, Result<ports::Commit, ports::StorageError>> {
        async move {
            let writes = writes
                .into_iter()
                .map(|write| storage::Write {
                    collection: write.collection.to_owned(),
                    id: write.id,
                    expect: match write.expect {
                        ports::Expect::Absent => storage::Expectation::Absent,
                        ports::Expect::Revision(revision) => storage::Expectation::Revision(revision),
                        ports::Expect::Any => storage::Expectation::Any,
                    },
                    change: match write.change {
                        ports::Change::Put(body) => storage::Change::Put(body),
                        ports::Change::Merge(body) => storage::Change::Merge(body),
                        ports::Change::Delete => storage::Change::Delete,
                        ports::Change::Check => storage::Change::Check,
                    },
                })
                .collect();
            Ok(match storage::commit(writes).await.map_err(storage_error)? {
                storage::CommitOutcome::Committed(revisions) => {
                    ports::Commit::Done { before: revisions.before, last: revisions.last }
                }
                storage::CommitOutcome::Lost(lost) => {
                    ports::Commit::Lost(lost.into_iter().map(|race| race.write as usize).collect())
                }
            })
        }
        .boxed_local()
    }
}

impl ports::Log for Host {
    fn log(&self, level: ports::Level, category: ports::Category, message: &str, fields: &[(&str, &str)]) {
        let level = match level {
            ports::Level::Debug => logging::Level::Debug,
            ports::Level::Info => logging::Level::Info,
            ports::Level::Warning => logging::Level::Warning,
            ports::Level::Error => logging::Level::Error,
        };
        let category = match category {
            ports::Category::Sync => logging::Category::Sync,
            ports::Category::Api => logging::Category::Api,
            ports::Category::Auth => logging::Category::Auth,
            ports::Category::Mapping => logging::Category::Mapping,
        };
        let fields: Vec<logging::Field> = fields
            .iter()
            .map(|(name, value)| logging::Field { name: (*name).to_owned(), value: (*value).to_owned() })
            .collect();
        logging::log(level, category, message, &fields);
    }

    fn progress(&self, stage: &str, done: u64, total: Option<u64>) {
        logging::progress(stage, done, total);
    }
}

impl ports::Clock for Host {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn sleep(&self, milliseconds: u64) -> LocalBoxFuture<'_, ()> {
        clock::sleep(milliseconds).boxed_local()
    }

    fn random_seed(&self) -> u64 {
        clock::random_seed()
    }
}
