//! `bench`: each phase is a `host-harness sync` in a process of its own, against a sandbox in another one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};
use wait4::Wait4 as _;

use super::{Failure, Global, Outcome, output};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// First import, unchanged run, run with some partners changed
    Pull {
        /// How many partners
        #[arg(long, default_value_t = 100_000)]
        partners: usize,
        /// How many percent of them change before the third phase
        #[arg(long, value_name = "PCT", default_value_t = 1.0)]
        changed: f64,
    },
    /// Creating partners while answers get lost
    Push {
        /// How many contacts
        #[arg(long, default_value_t = 10_000)]
        contacts: usize,
        /// How many percent of the answers get lost after the create was carried out
        #[arg(long, value_name = "PCT", default_value_t = 1.0)]
        lose: f64,
    },
}

const TENANT: &str = "bench";

impl Bench {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        let bench = Setting::build(match &self {
            Self::Pull { partners, .. } => *partners,
            Self::Push { .. } => 0,
        })?;
        let document = match self {
            Self::Pull { partners, changed } => pull(&bench, partners, changed).await?,
            Self::Push { contacts, lose } => push(&bench, contacts, lose).await?,
        };
        if global.json {
            output::print_json(&document);
        } else {
            show(&document);
        }
        Ok(())
    }
}

fn show(document: &Value) {
    let phases = document.get("phases").and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Value> = phases
        .into_iter()
        .map(|mut phase| {
            let calls = |name: &str| phase.pointer(&format!("/calls/{name}")).cloned().unwrap_or(Value::Null);
            let (made, least) = (calls("made"), calls("least"));
            if let Some(members) = phase.as_object_mut() {
                members.insert("calls made".to_owned(), made);
                members.insert("least".to_owned(), least);
            }
            phase
        })
        .collect();
    output::print_rows(
        &rows,
        &["name", "wall_s", "cpu_s", "peak_rss_mib", "guest_peak_mib", "records", "calls made", "least"],
        "",
    );
    for name in ["created", "answers_lost", "duplicates", "lost", "calls", "cpu_s"] {
        if let Some(value) = document.get(name) {
            output::print_line(format_args!("{name}: {value}"));
        }
    }
}

/// A sandbox, a store and a tenant for one measurement.
struct Setting {
    folder: tempfile::TempDir,
    program: PathBuf,
    sandbox: Child,
    control: String,
    http: reqwest::Client,
}

impl Drop for Setting {
    fn drop(&mut self) {
        // The sandbox is our own child; nobody else uses it.
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
    }
}

/// What a child process took.
struct Spent {
    wall: Duration,
    cpu: Duration,
    output: Vec<u8>,
    success: bool,
}

impl Setting {
    fn build(partners: usize) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::usage)?;
        let program = std::env::current_exe().map_err(Failure::usage)?;
        let mut sandbox = Command::new(&program)
            .args(["sandbox", "--listen", "127.0.0.1:0", "--seed", "7", "--partners", &partners.to_string()])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .map_err(Failure::usage)?;
        let mut line = String::new();
        if let Some(out) = sandbox.stdout.as_mut() {
            BufReader::new(out).read_line(&mut line).map_err(Failure::failed)?;
        }
        let announced: Value = serde_json::from_str(&line)
            .map_err(|error| Failure::failed(format!("the sandbox did not start: {error}")))?;
        let text = |name: &str| announced.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // Made first: it brings the TLS provider every client of this process needs.
        super::session::transport()?;
        let setting = Self {
            folder,
            program,
            sandbox,
            control: text("control_url"),
            http: reqwest::Client::builder().no_proxy().build().map_err(Failure::failed)?,
        };
        setting.harness(&["tenant", "add", TENANT], &[], None)?;
        let company = text("company_id");
        setting.harness(
            &["connect", "--tenant", TENANT, "--base-url", &text("base_url"), "--company-id", &company],
            &[("HARNESS_SECRET_KEY", &text("secret_key"))],
            None,
        )?;
        // Compiles the component into the cache, as every process after the first finds it.
        setting.harness(&["test-connection", "--tenant", TENANT], &[], None)?;
        Ok(setting)
    }

    /// Runs the harness as a child and waits for it.
    fn spend(
        &self,
        args: &[&str],
        variables: &[(&str, &str)],
        input: Option<&[u8]>,
    ) -> Result<Spent, Failure> {
        let began = Instant::now();
        let mut child = Command::new(&self.program)
            .args(args)
            .arg("--json")
            .env("HARNESS_DATA", self.folder.path())
            .env("HARNESS_STORE", format!("sqlite:{}", self.folder.path().join("bench.db").display()))
            .env("HARNESS_ALLOW_HOSTS", "127.0.0.1")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::failed)?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input).map_err(Failure::failed)?;
        }
        let mut output = Vec::new();
        if let Some(out) = child.stdout.as_mut() {
            std::io::Read::read_to_end(out, &mut output).map_err(Failure::failed)?;
        }
        let used = child.wait4().map_err(Failure::failed)?;
        Ok(Spent {
            wall: began.elapsed(),
            cpu: used.rusage.utime + used.rusage.stime,
            output,
            success: used.status.success(),
        })
    }

    fn harness(
        &self,
        args: &[&str],
        variables: &[(&str, &str)],
        input: Option<&[u8]>,
    ) -> Result<Value, Failure> {
        let spent = self.spend(args, variables, input)?;
        if !spent.success {
            return Err(Failure::failed(format!("`host-harness {}` failed", args.join(" "))));
        }
        serde_json::from_slice(&spent.output).map_err(Failure::failed)
    }

    /// One measured sync.
    fn phase(&self, name: &str, direction: &str) -> Result<(Value, Value), Failure> {
        let spent = self.spend(&["sync", "--tenant", TENANT, "--direction", direction], &[], None)?;
        let result: Value = serde_json::from_slice(&spent.output).map_err(Failure::failed)?;
        if !spent.success {
            return Err(Failure::failed(format!("the phase {name} failed: {result}")));
        }
        let number = |path: &str| result.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let phase = json!({
            "name": name,
            "wall_s": hundredths(spent.wall),
            "cpu_s": hundredths(spent.cpu),
            // The child's own word: the system counts what this process had when it started the child as the child's.
            "peak_rss_mib": result.get("peak_rss_mib"),
            "guest_peak_mib": result.get("guest_peak_mib"),
            "records": number("/seen").max(number("/created")),
            "created": result.get("created"),
            "updated": result.get("updated"),
            "calls": result.get("calls"),
        });
        Ok((phase, result))
    }

    async fn control(&self, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.control);
        let request = match body {
            Some(body) => {
                self.http.post(url).header("content-type", "application/json").body(body.to_string())
            }
            None => self.http.get(url),
        };
        let answer = request.send().await.map_err(Failure::failed)?;
        let good = answer.status().is_success();
        let bytes = answer.bytes().await.map_err(Failure::failed)?;
        if !good {
            return Err(Failure::failed(format!(
                "the sandbox refused {path}: {}",
                String::from_utf8_lossy(&bytes)
            )));
        }
        serde_json::from_slice(&bytes).map_err(Failure::failed)
    }
}

fn hundredths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100.0).round() / 100.0
}

async fn pull(bench: &Setting, partners: usize, changed: f64) -> Result<Value, Failure> {
    let (first, _) = bench.phase("first import", "from-metakocka")?;
    let (second, _) = bench.phase("unchanged", "from-metakocka")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a number of records from a percentage"
    )]
    let count = (partners as f64 * changed / 100.0).round() as usize;
    let links = bench.harness(&["links", "--tenant", TENANT], &[], None)?;
    let links = links.as_array().map(Vec::as_slice).unwrap_or_default();
    let step = links.len().checked_div(count).unwrap_or(1).max(1);
    for (number, link) in links.iter().step_by(step).take(count).enumerate() {
        let fields = json!({ "customer": format!("Preimenovani partner {number}") });
        let edit =
            json!({ "op": "update", "kind": "partner", "mk_id": link.get("metakocka_id"), "fields": fields });
        bench.control("/edit", Some(edit)).await?;
    }
    let (third, _) = bench.phase(&format!("{changed} % changed"), "from-metakocka")?;
    Ok(json!({ "partners": partners, "phases": [first, second, third] }))
}

async fn push(bench: &Setting, contacts: usize, lose: f64) -> Result<Value, Failure> {
    let mut lines = String::new();
    for number in 0..contacts {
        let mut line = json!({
            "id": format!("bench-{number:07}"),
            "company": format!("Podjetje {number} d.o.o."),
            "firstname": "Žiga",
            "lastname": format!("Novak {number}"),
            "phone": format!("041 {:06}", number % 1_000_000),
            "street": format!("Vzorčna {number}"),
            "postal_code": "1000",
            "city": "Ljubljana",
            "country": "Slovenija",
        });
        if let Some(members) = line.as_object_mut() {
            // One half is found by its tax number, the other by its e-mail.
            if number % 2 == 0 {
                members.insert("tax_number".to_owned(), json!(format!("SI{:08}", 10_000_000 + number)));
            } else {
                members.insert("email".to_owned(), json!(format!("kupec{number}@podjetje.example")));
            }
        }
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    bench.harness(
        &["crm", "import", "--tenant", TENANT, "--collection", "contacts"],
        &[],
        Some(lines.as_bytes()),
    )?;
    bench.harness(&["settings", "set", "--tenant", TENANT, "create.settle-seconds", "5"], &[], None)?;
    let fault = json!([{ "match": "add_partner", "fault": "commit-then-drop", "probability": lose / 100.0, "seed": 7 }]);
    bench.control("/faults", Some(fault)).await?;
    let mut phases = Vec::new();
    let (mut created, mut calls, mut cpu) = (0, 0, 0.0);
    // To rest: a run that creates nothing and waits for nothing.
    for number in 1..=6 {
        let (phase, result) = bench.phase(&format!("run {number}"), "to-metakocka")?;
        let count = |path: &str| result.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        created += count("/created");
        calls += count("/calls/made");
        cpu += phase.get("cpu_s").and_then(Value::as_f64).unwrap_or(0.0);
        phases.push(phase);
        if count("/created") == 0 && count("/waiting") == 0 {
            break;
        }
    }
    let state = bench.control("/state", None).await?;
    let duplicates = state.pointer("/duplicates/partners").and_then(Value::as_u64).unwrap_or(0);
    let links = bench.harness(&["links", "--tenant", TENANT], &[], None)?;
    let known: std::collections::BTreeSet<&str> = state
        .get("partners")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|partner| partner.get("mk_id").and_then(Value::as_str))
        .collect();
    let arrived = links
        .as_array()
        .into_iter()
        .flatten()
        .filter(|link| link.get("metakocka_id").and_then(Value::as_str).is_some_and(|id| known.contains(id)))
        .count();
    let requests = bench.control("/requests?since=0", None).await?;
    let answers_lost = requests
        .as_array()
        .into_iter()
        .flatten()
        .filter(|request| {
            request.get("write") == Some(&json!(true)) && request.get("status") == Some(&json!(0))
        })
        .count();
    Ok(json!({
        "contacts": contacts,
        "phases": phases,
        "created": created,
        "answers_lost": answers_lost,
        "duplicates": duplicates,
        "lost": contacts.saturating_sub(arrived),
        "calls": calls,
        "cpu_s": (cpu * 100.0).round() / 100.0,
    }))
}
