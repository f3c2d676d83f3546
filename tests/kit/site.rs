//! A scratch installation of the harness: a folder of its own, the real program as a child process.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::erp::Erp;

/// Where the program under test is, and where it may keep things.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The program.
    pub binary: &'static str,
    /// A folder for scratch files.
    pub scratch: &'static str,
}

/// A scratch installation. Its folder goes with it.
pub struct Site {
    build: Build,
    folder: TempDir,
}

/// How a command ended.
pub struct Ran {
    /// What was typed.
    pub typed: String,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { typed, code, out, err } = self;
        write!(f, "host-harness {typed}\nexit code {code}\n--- stdout\n{out}\n--- stderr\n{err}")
    }
}

impl Ran {
    /// Insists on an exit code.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// The one JSON document on standard output.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON document: {error}\n{self}"))
    }
}

impl Site {
    /// A fresh installation. The master key and the compiled component are copied from one that was warmed up once, because
    /// compiling the component is not what most tests are about.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new(build: Build) -> Self {
        static WARM: OnceLock<PathBuf> = OnceLock::new();
        let warm = WARM.get_or_init(|| {
            let data = Path::new(build.scratch).join("warm-data");
            let _ = std::fs::remove_dir_all(&data);
            let site = Self::cold(build);
            let _ = site.run(&["tenant", "add", "Warm"]).exits(0);
            let _ = site.run(&["unsynced", "--tenant", "Warm"]).exits(0);
            copy(&site.data(), &data);
            data
        });
        let site = Self::cold(build);
        copy(warm, &site.data());
        site
    }

    /// A fresh installation with nothing prepared.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn cold(build: Build) -> Self {
        let folder = tempfile::Builder::new().prefix("site-").tempdir_in(build.scratch).unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self { build, folder }
    }

    /// A path in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store's file.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path("store/harness.db")
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A command of the program in this installation; nothing of the outer environment reaches it.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.build.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HARNESS_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("HARNESS_DATA", self.data())
            .env("HARNESS_STORE", format!("sqlite:{}", self.store().display()))
            .env("HARNESS_ALLOW_HOSTS", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ran {
        self.finish(self.command(args), None)
    }

    /// Runs a command to its end, with this on standard input.
    #[must_use]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        self.finish(self.command(args), Some(input))
    }

    /// Runs a prepared command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn finish(&self, mut command: Command, input: Option<&str>) -> Ran {
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let typed: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let mut child = command.spawn().unwrap();
        let writing = input.map(|input| {
            let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
            // A program that refuses early does not read.
            std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())))
        });
        let output = child.wait_with_output().unwrap();
        if let Some(writing) = writing {
            writing.join().unwrap();
        }
        Ran {
            typed: typed.join(" "),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON answer of a command that must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).exits(0).json()
    }

    /// Starts a command and lets it run.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A tenant connected to a company; its id comes back.
    ///
    /// # Panics
    /// When that is refused.
    pub fn tenant(&self, name: &str, erp: &Erp) -> String {
        let row = self.json(&["tenant", "add", name]);
        self.connect(name, erp);
        row["id"].as_str().unwrap().to_owned()
    }

    /// Connects a tenant.
    pub fn connect(&self, tenant: &str, erp: &Erp) {
        let _ = self.try_connect(tenant, erp).exits(0);
    }

    /// The same, however it ends.
    #[must_use]
    pub fn try_connect(&self, tenant: &str, erp: &Erp) -> Ran {
        let at = erp.running();
        let mut connect = self.command(&[
            "connect",
            "--tenant",
            tenant,
            "--base-url",
            &at.base_url,
            "--company-id",
            &at.company_id,
        ]);
        connect.env("HARNESS_SECRET_KEY", &at.secret_key);
        self.finish(connect, None)
    }

    /// Changes a setting.
    pub fn set(&self, tenant: &str, key: &str, value: &str) {
        let _ = self.run(&["settings", "set", "--tenant", tenant, key, value]).exits(0);
    }

    /// Brings contacts in.
    ///
    /// # Panics
    /// When not all of them were taken.
    pub fn import(&self, tenant: &str, contacts: &[Value]) {
        let lines: String = contacts.iter().map(|contact| format!("{contact}\n")).collect();
        let args = ["crm", "import", "--tenant", tenant, "--collection", "contacts", "--json"];
        let answer = self.run_with_input(&args, &lines).exits(0).json();
        assert_eq!(answer["imported"], contacts.len());
    }

    /// All contacts.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn export(&self, tenant: &str) -> Vec<Value> {
        let ran = self.run(&["crm", "export", "--tenant", tenant, "--collection", "contacts"]).exits(0);
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One contact.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn contact(&self, tenant: &str, id: &str) -> Value {
        self.export(tenant)
            .into_iter()
            .find(|contact| contact["id"] == id)
            .unwrap_or_else(|| panic!("no contact {id}"))
    }

    /// A run that must succeed.
    #[must_use]
    pub fn sync(&self, tenant: &str, direction: &str) -> Value {
        self.json(&["sync", "--tenant", tenant, "--kind", "contacts", "--direction", direction])
    }

    /// A run, however it ends.
    #[must_use]
    pub fn try_sync(&self, tenant: &str, direction: &str) -> Ran {
        self.run(&["sync", "--tenant", tenant, "--kind", "contacts", "--direction", direction, "--json"])
    }

    /// Contact id and partner id of every link.
    ///
    /// # Panics
    /// When a link lacks one of them.
    #[must_use]
    pub fn links(&self, tenant: &str) -> Vec<(String, String)> {
        let rows = self.json(&["links", "--tenant", tenant, "--kind", "contacts"]);
        let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(|row| (text(row, "crm_id"), text(row, "metakocka_id"))).collect()
    }

    /// The partner a contact is linked with.
    ///
    /// # Panics
    /// When it has no link.
    #[must_use]
    pub fn partner_of(&self, tenant: &str, contact: &str) -> String {
        self.links(tenant)
            .into_iter()
            .find(|(crm, _)| crm == contact)
            .map(|(_, partner)| partner)
            .unwrap_or_else(|| panic!("{contact} has no link"))
    }
}

/// Insists that a run wrote nothing, on neither side.
///
/// # Panics
/// When it did.
pub fn wrote_nothing(result: &Value) {
    for path in ["/created", "/updated", "/deactivated", "/failed", "/linked", "/waiting"] {
        assert_eq!(result.pointer(path).and_then(Value::as_u64), Some(0), "{path} of {result:#}");
    }
    assert_eq!(result["success"], true, "{result:#}");
}

/// Copies a folder; files that never change are shared.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let mode = std::fs::metadata(from).unwrap().permissions().mode() & 0o777;
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target).unwrap();
        }
    }
}
