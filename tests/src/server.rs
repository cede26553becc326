use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Answers every request with these bytes and hangs up. Returns its URL.
///
/// # Panics
/// If there is no free port.
pub fn answering(response: impl Into<Vec<u8>>) -> String {
    let response = response.into();
    answering_each(move |_| response.clone())
}

/// Answers each request with the bytes that `respond` makes of its path and body, one after the other, and hangs up.
/// Returns its URL.
///
/// # Panics
/// If there is no free port.
pub fn answering_each<R: Into<Vec<u8>>>(
    mut respond: impl FnMut((String, Vec<u8>)) -> R + Send + 'static,
) -> String {
    let (listener, url) = listen();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up early gets no answer.
            let _ = answer(stream, |request| respond(request).into());
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

fn answer(stream: TcpStream, respond: impl FnOnce((String, Vec<u8>)) -> Vec<u8>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut path = String::new();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = Vec::new();
    (&mut reader).take(length).read_to_end(&mut body)?;
    reader.into_inner().write_all(&respond((path, body)))
}
