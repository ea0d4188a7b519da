//! Saves of RAM by the scripted backend.

use std::fs;

use tokio_util::sync::CancellationToken;

use super::{Fake, FakeMachine, Life, Point};
use crate::{Error, RamFormat, RamLost, RamSave, SaveRam, SavedRam, may_wait, ram::Saving};

const CONTENT: &str = "RAM";

impl Fake {
    /// From now on a save that may continue in the background does so until the token is canceled.
    pub fn delay_ram(&self) -> CancellationToken {
        let written = CancellationToken::new();
        self.state().ram_written = Some(written.clone());
        written
    }
}

impl FakeMachine {
    /// Creates the file, and ends the save as the test requested.
    pub(super) fn save_ram(&self, request: &SaveRam) -> Result<RamSave, Error> {
        fs::write(&request.path, CONTENT).map_err(Error::at(&request.path))?;
        let (save, saving) = RamSave::begin();
        let (fake, life, request) = (self.fake.clone(), self.life.clone(), request.clone());
        tokio::spawn(async move { fake.end_save(&life, &request, saving).await });
        Ok(save)
    }
}

impl Fake {
    async fn end_save(&self, life: &Life, request: &SaveRam, saving: Saving) {
        let result = tokio::select! {
            biased;
            result = self.write_ram(life, request) => result,
            () = saving.give_up.cancelled() => Err(RamLost::NotSaved("canceled".to_owned())),
            () = life.gone.cancelled() => Err(RamLost::NotSaved(life.error().to_string())),
        };
        if result.is_err() {
            let _ = may_wait(|| fs::remove_file(&request.path));
        }
        saving.end(result);
    }

    async fn write_ram(&self, life: &Life, request: &SaveRam) -> Result<SavedRam, RamLost> {
        let written = self.state().ram_written.clone();
        if let Some(written) = written.filter(|_| request.background) {
            written.cancelled().await;
        }
        let not_saved = |error: Error| RamLost::NotSaved(error.to_string());
        self.apply_mishap(Point::SaveRam, Some(life)).await.map_err(not_saved)?;
        let is_tested = request.background && request.load_test.is_some();
        if is_tested {
            let does_not_load = |error: Error| RamLost::DoesNotLoad(error.to_string());
            self.apply_mishap(Point::LoadRam, Some(life)).await.map_err(does_not_load)?;
        }
        let format = if request.background { RamFormat::Stream } else { RamFormat::Mapped };
        Ok(SavedRam { bytes: CONTENT.len() as u64, seconds: 0.0, format, is_tested })
    }
}
