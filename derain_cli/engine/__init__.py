"""From picture to picture: `restorer` is THE way, for photos, clips, evaluation and validation."""
