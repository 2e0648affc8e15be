"""What was learned: a run's report, measured and drawn. `report.study(run)` measures, `page.render` draws."""
