//! The model checker of the sync protocol. See `README.md` for what it found.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    protocol_model::checker::run(&args);
}
