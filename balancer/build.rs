//! Compiles `proto/ringline.proto` in this process: no `protoc` need be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTO: &str = "proto/ringline.proto";
    println!("cargo::rerun-if-changed={PROTO}");
    let descriptors = protox::compile([PROTO], ["proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
