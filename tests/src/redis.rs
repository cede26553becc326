//! A Redis of a test's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::python::on_path;

/// A `redis-server` on loopback that keeps nothing on disk. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// In one line, that there is none on the `PATH`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Result<Self, String> {
        on_path("redis-server")?;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let folder = TempDir::new().expect("a temporary folder");
        let mut server = Self { port, folder, child: None };
        server.run();
        Ok(server)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it; it has no time to do anything about that.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be dead already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it anew where it was, with nothing in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server starts"));
        let answers = || self.command("PING").is_ok_and(|answer| answer.starts_with("+PONG"));
        let is_up = (0..1_000).any(|_| answers() || pause());
        assert!(is_up, "redis-server answers");
    }

    /// Sends a command, such as `FLUSHALL`, and returns the raw answer.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn command(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for another program")]
fn pause() -> bool {
    thread::sleep(Duration::from_millis(10));
    false
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
