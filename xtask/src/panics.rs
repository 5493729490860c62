//! Panics in a module for browsers, without their messages.
//!
//! On wasm32-unknown-unknown a panic ends in the `unreachable` instruction, which JavaScript sees as an error with the
//! stack; its message goes to a standard error that does not exist. So what would only make the message is left out: the
//! functions of Rust's libraries that a failed check calls, and that never return, trap at once. wasm-opt then drops what
//! was done for them.

use anyhow::{Context as _, Result, bail};
use std::path::Path;
use walrus::Module;
use walrus::ir::Instr;

/// Parts of the mangled names of functions that panic.
pub const PANICS: [&str; 15] = [
    "4core4cell22panic_already_borrowed",
    "4core4cell30panic_already_mutably_borrowed",
    "4core6option13",
    "4core6result13unwrap_failed",
    "4core5slice5index16slice_index_fail",
    "4core9panicking5panic",
    "4core9panicking9panic_",
    "4core9panicking11panic_",
    "4core9panicking18panic_",
    "4core9panicking13assert_failed",
    "4core9panicking19assert_failed",
    "5alloc5alloc18handle_alloc_error",
    "5alloc7raw_vec12handle_error",
    "5alloc7raw_vec17capacity_overflow",
    "17rust_begin_unwind",
];

/// The module in this file with panics that trap at once.
pub fn without_messages(input: &Path) -> Result<Vec<u8>> {
    let mut module = Module::from_file(input).with_context(|| format!("could not read {}", input.display()))?;
    let mut trapping = 0;
    for function in module.funcs.iter_mut() {
        let name = function.name.as_deref().unwrap_or_default();
        let walrus::FunctionKind::Local(local) = &mut function.kind else { continue };
        if !PANICS.iter().any(|part| name.contains(part)) || name.contains("Debug") {
            continue;
        }
        let mut body = local.builder_mut().func_body();
        let body = body.instrs_mut();
        if !matches!(body.last(), Some((Instr::Unreachable(_), _))) {
            println!("{name} may return: it is kept");
            continue;
        }
        body.drain(..body.len() - 1);
        trapping += 1;
    }
    if trapping == 0 {
        bail!("{} has no function that panics: their names have changed", input.display());
    }
    println!("{trapping} functions that panic trap at once");
    Ok(module.emit_wasm())
}
