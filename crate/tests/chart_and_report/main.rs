//! What people look at: the chart, the report and the verdict as text.

mod chart;
mod fixture;
mod notebook;
mod predictions;
mod remaining;
mod report;
mod summary;
