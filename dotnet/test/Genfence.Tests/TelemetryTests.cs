using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Genfence.Tests;

public class TelemetryTests
{
    [Fact]
    public async Task Counts_and_activities_are_seen_and_name_no_key()
    {
        var measured = new ConcurrentDictionary<string, double>();
        var said = new ConcurrentQueue<string>();
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Genfence")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        void Measured(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            measured[instrument.Name] = value;
            foreach (var (name, tag) in tags)
            {
                said.Enqueue($"{name}={tag}");
            }
        }
        meters.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Measured(instrument, value, tags));
        meters.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Measured(instrument, value, tags));
        meters.Start();
        using var activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Genfence",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity => said.Enqueue($"{activity.OperationName} {string.Join(' ', activity.TagObjects)}"),
        };
        ActivitySource.AddActivityListener(activities);
        await using (var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { Name = "users" }))
        {
            await cache.GetOrFillAsync("secret", _ => ValueTask.FromResult("x")).Within();
            await cache.GetOrFillAsync("secret", _ => ValueTask.FromResult("x")).Within();
            await cache.UpdateAsync("secret", (_, _) => ValueTask.FromResult(SourceResult.Changed())).Within();
            meters.RecordObservableInstruments();
        }
        Assert.Equal((1, 1, 1), (measured["genfence.hits"], measured["genfence.fills.stored"], measured["genfence.purges"]));
        Assert.True(measured.ContainsKey("genfence.load.duration"));
        Assert.Contains("genfence.cache=users", said);
        Assert.Contains(said, line => line.StartsWith("genfence.load ", StringComparison.Ordinal));
        Assert.Contains(said, line => line.Contains("genfence.outcome, Purged", StringComparison.Ordinal));
        Assert.DoesNotContain(said, line => line.Contains("secret", StringComparison.Ordinal));
        await Support.AssertNothingIsAliveAsync();
    }
}
