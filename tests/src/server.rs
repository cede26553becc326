use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Answers every request with these bytes and hangs up. Returns its URL.
///
/// # Panics
/// If there is no free port.
pub fn answering(response: impl Into<Vec<u8>>) -> String {
    let response = response.into();
    let (listener, url) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up early gets no answer.
            let _ = answer(stream, &response);
        }
    });
    url
}

/// Takes connections and never says a word, until the returned listener is dropped.
///
/// # Panics
/// If there is no free port.
pub fn deaf() -> (TcpListener, String) {
    listen()
}

/// A URL where nobody listens.
///
/// # Panics
/// If there is no free port.
pub fn refusing() -> String {
    listen().1
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

fn answer(stream: TcpStream, response: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
    reader.into_inner().write_all(response)
}
