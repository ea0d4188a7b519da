//! Two concurrent builds.

use e2e::{Lab, fresh, template, template_named};
use serde_json::json;

#[test]
fn concurrent_builds_of_one_template_share_each_step() {
    let lab = Lab::new();
    let customize = json!([
        { "type": "Shell", "name": "slow", "inline": [fresh(), "sleep 5", "echo worked"] },
        { "type": "Shell", "name": "after", "inline": ["echo after"] }
    ]);
    let one = lab.write("one.json", template(&customize));
    let two = lab.write("two.json", template_named("other", &customize));
    let one = lab.start(&["build", one.to_str().unwrap()]);
    let two = lab.start(&["build", two.to_str().unwrap()]);
    let (one, two) = (one.end().ok(), two.end().ok());
    for step in ["customize[0]", "customize[1]", "generalize"] {
        let done = [&one, &two]
            .iter()
            .flat_map(|build| build.steps())
            .filter(|(name, how)| name == step && how == "done")
            .count();
        assert_eq!(done, 1, "{step}\n{}\n{}", one.stdout, two.stdout);
    }
    lab.assert_clean();
}
