/// The name of a region, however it is spelled: `West US 2` is `westus2`.
pub fn region_key(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase()
}
