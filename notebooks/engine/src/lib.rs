//! What runs behind notebook cells: the crate, compiled once ahead of time, behind two C functions. Calls and replies are
//! JSON; what a call shows while it runs goes to standard output.
//!
//! - `call`: what can be asked, and what comes of it
//! - `start`: testers, and how they begin
//! - `show`: results in all their forms, and progress

mod call;
mod show;
mod start;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

/// A reply in JSON, to be given back to [`bedrock_tpm_free`].
#[repr(C)]
pub struct Reply {
    bytes: *mut u8,
    length: usize,
    capacity: usize,
}

/// Does what `length` bytes of JSON at `request` ask for. The reply is `{"ok": ...}` or `{"error": "one line"}`.
///
/// # Safety
/// `request` points to `length` bytes.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "cells call it through a C interface")]
pub unsafe extern "C" fn bedrock_tpm_call(request: *const u8, length: usize) -> Reply {
    // SAFETY: the caller's promise.
    let request = unsafe { std::slice::from_raw_parts(request, length) };
    let called = catch_unwind(AssertUnwindSafe(|| call::answer(request)));
    let reply = match called {
        Ok(Ok(value)) => json!({"ok": value}),
        Ok(Err(error)) => json!({"error": error}),
        Err(_) => {
            json!({"error": "the engine panicked (see above); run the configuration cell again and go on"})
        }
    };
    let mut bytes = Value::to_string(&reply).into_bytes();
    let reply = Reply { bytes: bytes.as_mut_ptr(), length: bytes.len(), capacity: bytes.capacity() };
    std::mem::forget(bytes);
    reply
}

/// Gives back the memory of a reply.
///
/// # Safety
/// `reply` comes from [`bedrock_tpm_call`] and was not given back before.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "cells call it through a C interface")]
pub unsafe extern "C" fn bedrock_tpm_free(reply: Reply) {
    // SAFETY: these are the parts of a vector that was forgotten.
    drop(unsafe { Vec::from_raw_parts(reply.bytes, reply.length, reply.capacity) });
}
