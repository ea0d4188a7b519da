//! The memory limit of the control groups: in a container, the host's memory is not the limit.

use std::{fs, path::Path};

/// Where control groups are mounted.
pub(super) const ROOT: &str = "/sys/fs/cgroup";

/// Version 1 expresses "no limit" as a number close to the maximum.
const NONE_FROM: u64 = 1 << 60;

/// The smallest limit from this process's group up to the root, in MiB. `groups` is the content of
/// `/proc/self/cgroup`.
pub(super) fn memory_mib(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (base, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // A container may see a path of its host that does not exist inside. The root is then its
        // own group.
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        groups.filter_map(|group| limit(&base.join(group).join(file))).min()
    });
    limits.min().map(|bytes| bytes / (1024 * 1024))
}

/// The limit in a file, in bytes. `None` if the file is missing or contains `max`.
fn limit(file: &Path) -> Option<u64> {
    let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < NONE_FROM).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A hierarchy with these files.
    fn hierarchy(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        root
    }

    #[test]
    fn smallest_limit_up_to_the_root_applies() {
        let (four, eight) = ((4 * GIB).to_string(), (8 * GIB).to_string());
        let root = hierarchy(&[
            ("a.slice/memory.max", &four),
            ("a.slice/b.service/memory.max", &eight),
            ("a.slice/b.service/leaf/memory.max", "max"),
        ]);
        let of = |groups: &str| memory_mib(root.path(), groups);
        assert_eq!(of("0::/a.slice/b.service/leaf\n"), Some(4096));
        assert_eq!(of("0::/a.slice/b.service\n"), Some(4096));
        assert_eq!(of("0::/other\n"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn container_limit_is_read_at_the_root() {
        let root = hierarchy(&[("memory.max", &(2 * GIB).to_string())]);
        assert_eq!(memory_mib(root.path(), "0::/\n"), Some(2048));
        assert_eq!(memory_mib(root.path(), "0::/../../system.slice/docker.scope\n"), Some(2048));
    }

    #[test]
    fn version_1_limit_is_read_and_its_maximum_means_none() {
        let root = hierarchy(&[
            ("memory/docker/memory.limit_in_bytes", &GIB.to_string()),
            ("memory/free/memory.limit_in_bytes", "9223372036854771712"),
        ]);
        let of = |path: &str| {
            memory_mib(root.path(), &format!("3:cpu,cpuacct:{path}\n9:memory:{path}\n0::{path}\n"))
        };
        assert_eq!(of("/docker"), Some(1024));
        assert_eq!(of("/free"), None);
    }
}
