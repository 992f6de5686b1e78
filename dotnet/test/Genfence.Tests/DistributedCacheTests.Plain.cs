using System.Diagnostics.Metrics;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;

namespace Genfence.Tests;

/// <summary>A set is a set: it stores, or throws, and the last one wins.</summary>
public sealed partial class DistributedCacheTests
{
    /// <summary>Two processes, each with a door of its own.</summary>
    private async Task<(GenfenceDistributedCache One, GenfenceDistributedCache Other)> Plain(string store, string options = "wait=20s")
    {
        await Open(store, options);
        var other = store == Memory ? _cache : await OpenAsync(store, options);
        return (new GenfenceDistributedCache(_cache, _time), new GenfenceDistributedCache(other, _time));
    }

    private static async Task<string?> Read(IDistributedCache cache, string key = "k") =>
        await cache.GetAsync(key).WaitAsync(Support.Patience) is { } bytes ? System.Text.Encoding.UTF8.GetString(bytes) : null;

    private static Task Write(IDistributedCache cache, string value) =>
        cache.SetAsync("k", Support.Bytes(value), s_plain).WaitAsync(Support.Patience);

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_after_a_miss_that_another_set_has_crossed_wins_as_the_last(string store)
    {
        var (one, other) = await Plain(store);
        Assert.Null(await Read(one));
        await Write(other, "1");
        Assert.Equal("1", await Read(one));
        await Write(one, "2");
        Assert.Equal(("2", "2"), (await Read(one), await Read(other)));
        Assert.Equal(0, Stats.Leases);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_long_after_its_miss_stores(string store)
    {
        var (one, _) = await Plain(store, "wait=20s&load_time=2s");
        Assert.Null(await Read(one));
        _time.Advance(TimeSpan.FromMinutes(3));
        await Write(one, "late");
        Assert.Equal("late", await Read(one));
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_and_a_removal_beside_a_miss_are_never_dropped(string store)
    {
        var (one, other) = await Plain(store);
        Assert.Null(await Read(one));
        Assert.Null(await Read(other));
        await Write(one, "old");
        await other.RemoveAsync("k").WaitAsync(Support.Patience);
        Assert.Null(await Read(one));
        // As levels above mark what they have removed.
        await Write(other, "removed at 5");
        Assert.Equal("removed at 5", await Read(one));
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_that_is_too_large_throws_removes_the_old_value_and_stands_in_nobodys_way(string store)
    {
        var (one, _) = await Plain(store);
        await Write(one, "old");
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => one.SetAsync("k", new byte[2 << 20], s_plain));
        Assert.Equal("value", refused.Field);
        Assert.Null(await Read(one));
        await Write(one, "new");
        Assert.Equal("new", await Read(one));
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_beside_a_writer_of_the_guarded_calls_throws(string store)
    {
        var (one, _) = await Plain(store);
        using var writer = await _cache.ReserveAsync("k").Within();
        await Assert.ThrowsAsync<GenfenceException>(() => Write(one, "v"));
        await writer.AbortAsync().Within();
        await Write(one, "v");
        Assert.Equal("v", await Read(one));
    }

    [Fact]
    public async Task The_guard_is_an_option_and_what_it_drops_is_logged_and_counted()
    {
        long dropped = 0;
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument is { Meter.Name: "Genfence", Name: "genfence.sets.dropped" })
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        meters.SetMeasurementEventCallback<long>((_, count, tags, _) =>
            dropped += tags.ToArray().Contains(new("genfence.cache", "guarded")) ? count : 0);
        meters.Start();
        foreach (var guarded in new[] { false, true })
        {
            var lines = new Lines();
            await using var provider = new ServiceCollection()
                .AddSingleton<Microsoft.Extensions.Logging.ILoggerFactory>(lines)
                .AddGenfence("memory://", options => (options.Name, options.GuardMisses) = ("guarded", guarded))
                .AddGenfenceDistributedCache().BuildServiceProvider();
            var cache = provider.GetRequiredService<IDistributedCache>();
            Assert.Null(await Read(cache));
            // Between the get and the set the key is changed.
            await provider.GetRequiredService<GenfenceCache>().InvalidateAsync("k").Within();
            await Write(cache, "v");
            Assert.Equal(guarded ? null : "v", await Read(cache));
            Assert.Equal(guarded, lines.Written.Any(line => line.Contains("a set stored nothing", StringComparison.Ordinal)));
            meters.RecordObservableInstruments();
            Assert.Equal(guarded ? 1 : 0, dropped);
        }
    }
}
