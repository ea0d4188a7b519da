//! Many cycles of [`crate::ram`]: `make test-ram`.

#[tokio::test(flavor = "multi_thread")]
async fn ram_comes_back_equal_after_many_cycles() {
    let cycles = std::env::var("RAM_CYCLES").ok().and_then(|text| text.parse().ok());
    crate::ram::cycle(cycles.unwrap_or(200)).await;
}
