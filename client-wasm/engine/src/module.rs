//! What Rust's standard library would bring to the module: memory, and an end for panics.

use core::arch::wasm32;
use core::panic::PanicInfo;
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();

/// JavaScript sees an error with the stack. A message would have nobody to read it, and nothing is left of what makes one.
#[panic_handler]
fn trap(_: &PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
