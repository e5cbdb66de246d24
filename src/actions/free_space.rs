//! Makes room on a full volume by removing a file of simctl's own that holds nothing.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::args::{Given, wrong};
use super::channel::{Call, Channel, succeeded, within};
use super::checks::{announced, bytes, costs, kept, measured, unmeasured};
use super::{Action, ActionError, Arg, Descriptor, Need, Report, Saved, failed, unit};
use crate::diagnose::facts::Disk;
use crate::domain::execution::{Check, Output};
use crate::domain::proposal::{Args, Preview, Risk, Undo};
use crate::targets::{Server, disk};

const ID: &str = "free_space";
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

static DESCRIPTOR: Descriptor = Descriptor {
    id: ID,
    aliases: &[],
    engine: None,
    needs_runtime: true,
    risk: Risk::Low,
    title: "Free space on the volume",
    about: "Removes ballast or reserve of simctl's own, known by name and size. Right when the volume is full; no \
            data is touched.",
    args: &[
        Arg::text("file", "the file, by its path inside"),
        Arg::whole("bytes", "how large it is"),
    ],
    needs: &[Need::Runtime("run find, df and dd inside")],
    verify: "the file is gone, the volume has the room",
};

/// See the module.
#[derive(Debug)]
pub(super) struct FreeSpace;

struct Spare {
    dir: String,
    name: &'static str,
    size: u64,
}

impl Spare {
    fn read(args: &Args) -> Result<Self, ActionError> {
        let given = Given::to(&DESCRIPTOR, args)?;
        let file: String = given.required("file", "a path")?;
        let size: u64 = given.required("bytes", "a number of bytes")?;
        let known = |(dir, name): (&str, &str)| {
            let name = [disk::BALLAST, disk::RESERVE].into_iter().find(|ours| *ours == name)?;
            (dir.starts_with('/') && !dir.contains("..")).then(|| (dir.to_owned(), name))
        };
        let Some((dir, name)) = file.rsplit_once('/').and_then(known) else {
            return Err(wrong("file", format!("`{file}` is none of simctl's own files")));
        };
        if size == 0 {
            return Err(wrong("bytes", "is nothing"));
        }
        Ok(Self { dir, name, size })
    }

    fn path(&self) -> String {
        disk::path(&self.dir, self.name)
    }

    /// Name, kind and size are checked by the command that removes it.
    fn remove(&self) -> Call {
        let size = format!("{}c", self.size);
        let words = [
            "find",
            &self.dir,
            "-maxdepth",
            "1",
            "-type",
            "f",
            "-name",
            self.name,
            "-size",
            &size,
            "-print",
            "-delete",
        ];
        Call::Inside(words.map(str::to_owned).into())
    }

    fn recreate(&self) -> Call {
        let (to, size) = (format!("of={}", self.path()), format!("bs={}", self.size));
        Call::Inside(["dd", "if=/dev/zero", &to, &size, "count=1"].map(str::to_owned).into())
    }

    /// The volume now, with the file as it was named.
    async fn look(&self, server: &Server) -> Result<Disk, ActionError> {
        let disk = look(server, &self.dir).await?;
        match disk.spare.iter().find(|file| file.path == self.path()) {
            Some(file) if file.bytes == self.size => Ok(disk),
            Some(file) => Err(ActionError::Precondition(format!(
                "{} takes {}, not {}: it is not the file that was meant",
                self.path(),
                bytes(file.bytes),
                bytes(self.size)
            ))),
            None => Err(ActionError::Precondition(format!("{} is not there", self.path()))),
        }
    }
}

async fn look(server: &Server, dir: &str) -> Result<Disk, ActionError> {
    let looked = disk::look(unit::place(server)?, dir).await;
    looked.map_err(|answer| {
        failed(format!("look at the volume below {dir}"), anyhow::anyhow!(answer.describe()))
    })
}

#[async_trait]
impl Action for FreeSpace {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    async fn preview(&self, server: &Server, args: &Args) -> Result<Preview, ActionError> {
        let spare = Spare::read(args)?;
        within(LOOK_DEADLINE, format!("look at {}", server.target.id), async {
            let unit = unit::inspect(server).await?;
            let disk = spare.look(server).await?;
            Ok(Preview {
                commands: vec![Channel::new(server, ID).spell(&spare.remove())],
                scope: [("unit".into(), unit.identity()), ("file".into(), spare.path())].into(),
                consequences: vec![costs(spare.size, "bytes freed")],
                notes: vec![
                    format!(
                        "{} of {} free below {} now",
                        bytes(disk.available),
                        bytes(disk.total),
                        disk.dir
                    ),
                    "the file is simctl's own and holds nothing".into(),
                ],
            })
        })
        .await
    }

    fn undo_kind(&self, _args: &Args) -> Undo {
        Undo::Exact("writes the file again, as large as it was".into())
    }

    async fn save(&self, server: &Server, args: &Args) -> Result<Saved, ActionError> {
        let disk = Spare::read(args)?.look(server).await?;
        Ok(Saved::from([("available".into(), json!(disk.available))]))
    }

    async fn run(
        &self,
        server: &Server,
        args: &Args,
        report: Report<'_>,
    ) -> Result<Output, ActionError> {
        let spare = Spare::read(args)?;
        let channel = Channel::new(server, ID);
        report(announced(channel.spell(&spare.remove())));
        let mut output = channel.perform(&spare.remove(), CALL_DEADLINE).await?;
        if succeeded(&output) && output.stdout.trim().is_empty() {
            output.exit_code = Some(1);
            output.stderr = format!("{} is not there with that size\n", spare.path());
        }
        Ok(output)
    }

    async fn verify(&self, server: &Server, args: &Args, saved: &Saved) -> Vec<Check> {
        let measuring = within(LOOK_DEADLINE, "look at the volume", async {
            let spare = Spare::read(args)?;
            let before: u64 = kept(saved, "available")?;
            let disk = look(server, &spare.dir).await?;
            let gone = disk.spare.iter().all(|file| file.path != spare.path());
            let free = format!("{} free, {} before", bytes(disk.available), bytes(before));
            Ok(vec![
                measured("the file is gone", gone, spare.path()),
                measured("the volume has room", disk.available > before, free),
            ])
        });
        measuring.await.unwrap_or_else(|e| vec![unmeasured("volume", &e)])
    }

    fn undo_commands(&self, server: &Server, args: &Args, _saved: &Saved) -> Vec<String> {
        let spare = Spare::read(args);
        spare.iter().map(|spare| Channel::new(server, ID).spell(&spare.recreate())).collect()
    }

    async fn undo(
        &self,
        server: &Server,
        args: &Args,
        _saved: &Saved,
    ) -> Result<String, ActionError> {
        let spare = Spare::read(args)?;
        let disk = look(server, &spare.dir).await?;
        if disk.spare.iter().any(|file| file.path == spare.path()) {
            return Ok(format!("{} is there already", spare.path()));
        }
        let output = Channel::new(server, ID).perform(&spare.recreate(), CALL_DEADLINE).await?;
        if !succeeded(&output) {
            let said = anyhow::anyhow!("{}", output.stderr.trim().to_owned());
            return Err(failed(format!("write {} again", spare.path()), said));
        }
        Ok(format!("{} takes {} again", spare.path(), bytes(spare.size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_our_own_are_ever_removed() {
        let read = |file: &str, bytes: u64| {
            let args = [("file".into(), json!(file)), ("bytes".into(), json!(bytes))].into();
            Spare::read(&args)
        };
        let spare = read("/data/.simctl-ballast", 4_096).unwrap();
        let Call::Inside(argv) = spare.remove() else { panic!("another call") };
        assert_eq!(
            argv.join(" "),
            "find /data -maxdepth 1 -type f -name .simctl-ballast -size 4096c -print -delete"
        );
        assert!(read("/data/.simctl-reserve", 1).is_ok());
        for file in [
            "/data/dump.rdb",
            "/data/.simctl-ballast.bak",
            ".simctl-ballast",
            "/data/../etc/.simctl-ballast",
            "/data/.simctl-ballast/x",
            "-delete/.simctl-ballast",
        ] {
            assert!(read(file, 4_096).is_err(), "{file}");
        }
        assert!(read("/data/.simctl-ballast", 0).is_err());
    }
}
