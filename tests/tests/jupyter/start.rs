//! `notebooks/start` as the tests run it: it writes nothing outside the target folder.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use bedrock_tpm_tests::set_for_test;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

pub const NOTEBOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../notebooks");
const AT_MOST: Duration = Duration::from_secs(60);

/// A folder that stays for the next run of the tests.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The notebooks with what they read, in a folder whose name has a space. The originals are not written.
pub fn checkout() -> TempDir {
    let folder = TempDir::with_prefix("check out ").unwrap();
    let notebooks = folder.path().join("notebooks");
    fs::create_dir(&notebooks).unwrap();
    symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests"), folder.path().join("tests")).unwrap();
    symlink(Path::new(NOTEBOOKS).join("cells"), notebooks.join("cells")).unwrap();
    for entry in fs::read_dir(NOTEBOOKS).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ipynb") {
            fs::copy(&path, notebooks.join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// Runs it to its end, which must be a good one.
pub fn ended_well(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Jupyter with the kernel, installed by `notebooks/start`.
pub struct Jupyter {
    folder: PathBuf,
}

impl Jupyter {
    /// One for all tests that only use it, made by the first and kept.
    pub fn shared() -> Result<&'static Self, String> {
        static SHARED: LazyLock<Result<Jupyter, String>> = LazyLock::new(|| Jupyter::new("jupyter of tests"));
        SHARED.as_ref().map_err(Clone::clone)
    }

    /// One in the folder of this name; or in one line, why it cannot be made here.
    pub fn new(name: &str) -> Result<Self, String> {
        let jupyter = Self { folder: folder(name) };
        let settings = jupyter.path("config/lab/user-settings/@jupyterlab");
        for (file, setting) in [
            // All of a notebook is in the page, and nothing covers it.
            ("notebook-extension/tracker", r#"{"windowingMode": "none"}"#),
            ("apputils-extension/notification", r#"{"fetchNews": "false", "checkForUpdates": false}"#),
        ] {
            let file = settings.join(format!("{file}.jupyterlab-settings"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, setting).unwrap();
        }
        let started = jupyter.start().arg("--version").output().map_err(|error| format!("start: {error}"))?;
        let said = String::from_utf8_lossy(&started.stderr);
        let reason = said.lines().last().unwrap_or_default();
        if started.status.success() { Ok(jupyter) } else { Err(reason.into()) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub fn start(&self) -> Command {
        let mut start = self.command(&Path::new(NOTEBOOKS).join("start"));
        start.arg("--home").arg(self.home());
        start
    }

    pub fn python(&self) -> Command {
        self.command(&self.home().join("venv/bin/python"))
    }

    /// The runner that start has built, with the engine of the kernel.
    pub fn runner(&self) -> Command {
        let spec = fs::read_to_string(self.path("data/kernels/bedrock-tpm/kernel.json")).unwrap();
        let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
        let mut runner = self.command(Path::new(spec["argv"][0].as_str().unwrap()));
        runner.env("BEDROCK_TPM_ENGINE", spec["env"]["BEDROCK_TPM_ENGINE"].as_str().unwrap());
        runner.arg("--warm").arg(self.home().join("warm"));
        runner
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).env_remove("BEDROCK_TPM_ENGINE");
        for (name, folder) in [
            ("JUPYTER_DATA_DIR", "data"),
            ("JUPYTER_CONFIG_DIR", "config"),
            ("JUPYTER_RUNTIME_DIR", "runtime"),
            ("IPYTHONDIR", "ipython"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(name, self.path(folder));
        }
        for name in set_for_test() {
            command.env_remove(name);
        }
        command
    }

    /// Opens `notebook` in JupyterLab, without a browser.
    pub fn serve(&self, notebook: &Path) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut start = self.start();
        start.arg("--open").arg(notebook).args(["--no-browser", "--allow-root", "--IdentityProvider.token="]);
        let log = self.path("lab.log");
        let said = File::create(&log).unwrap();
        start.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(said);
        let process = start.process_group(0).spawn().unwrap();
        let runtime = self.path("runtime");
        let server = Server { process, runtime, log, url: format!("http://127.0.0.1:{port}") };
        until(|| TcpStream::connect(("127.0.0.1", port)).is_ok(), "JupyterLab listens");
        server
    }
}

/// A JupyterLab; dropping it ends it with its kernels.
pub struct Server {
    process: Child,
    runtime: PathBuf,
    log: PathBuf,
    pub url: String,
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "what a failed test shows")]
    fn drop(&mut self) {
        let group = Pid::from_child(&self.process);
        let _ = kill_process(group, Signal::TERM);
        until(|| self.process.try_wait().is_ok_and(|status| status.is_some()), "JupyterLab ends");
        let _ = kill_process_group(group, Signal::KILL);
        // Every kernel is given a file in this folder.
        let kernels = || Command::new("pgrep").arg("-f").arg(&self.runtime).output().unwrap();
        until(|| kernels().stdout.is_empty(), "its kernels end");
        if thread::panicking() {
            eprintln!("JupyterLab said:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "other programs live in real time")]
fn until(mut condition: impl FnMut() -> bool, what: &str) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < AT_MOST, "in vain: {what}");
        sleep(Duration::from_millis(100));
    }
}
