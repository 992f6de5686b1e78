using System.Diagnostics;

namespace Genfence.Tests;

/// <summary>The same calls over TCP: on the wire test server, a process of this test's own.</summary>
public class WireTests : CacheTest
{
    private readonly WireServer _server = new();

    protected override string Url => $"aerospike://{_server.Address}/test/cache?timeout=5s&attempts=1&wait=10s&cluster_guard_time=10s";

    public override async ValueTask InitializeAsync()
    {
        await _server.InitializeAsync();
        await base.InitializeAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _server.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task The_calls_of_a_program_do_what_they_say()
    {
        Assert.Equal("Ada", await Cache.GetOrFillAsync("user:1", _ => ValueTask.FromResult("Ada")).Within());
        Assert.Equal("Ada", await Cache.GetOrFillAsync<string>("user:1", _ => throw new InvalidOperationException()).Within());
        Assert.Equal(UpdateOutcome.Stored, await Cache.UpdateAsync(
            "user:1", (_, _) => ValueTask.FromResult(SourceResult.Committed("Grace"))).Within());
        Assert.Equal("Grace", Support.Text(await Cache.GetAsync("user:1").Within()));
        var many = await Cache.GetOrFillManyAsync(
            ["user:1", "user:2"],
            (keys, _) => ValueTask.FromResult<IReadOnlyDictionary<string, string>>(keys.ToDictionary(key => key, _ => "new"))).Within();
        Assert.Equal(("Grace", "new"), (many["user:1"], many["user:2"]));

        using (var lease = (await Cache.LookupAsync("k").Within()).Lease!)
        using (var reservation = await Cache.ReserveAsync("k").Within())
        {
            Assert.Equal(FillOutcome.Rejected, await lease.FillAsync(Support.Bytes("old")).Within());
            Assert.Equal(SetOutcome.Busy, await Cache.SetAsync("k", "x").Within());
            Assert.Equal(BypassReason.Reserved, (await Cache.LookupAsync("k").Within()).Bypass);
            Assert.True(await reservation.RenewAsync().Within());
            Assert.Equal(ReleaseOutcome.Purged, await reservation.ReleaseAsync().Within());
        }
        Assert.Equal(SetOutcome.Stored, await Cache.SetAsync("k", "x").Within());
        Assert.Equal(TouchOutcome.Done, await Cache.TouchAsync("k", TimeSpan.FromMinutes(1)).Within());
        var stamp = (await Cache.GetAsync("k").Within())!.Value.Stamp;
        Assert.Equal(ReplaceOutcome.Stored, await Cache.ReplaceAsync("k", stamp, Support.Bytes("y")).Within());
        await Cache.InvalidateAsync("k").Within();
        Assert.Null(await Cache.GetAsync("k").Within());
        Assert.NotEmpty(await Cache.DiagnoseAsync().Within());
    }

    [Fact]
    public async Task A_reservation_that_comes_after_the_cancellation_is_aborted()
    {
        await Cache.SetAsync("k", "x").Within();
        _server.Signal(WireServer.Stop);
        using var source = new CancellationTokenSource();
        var reserving = Cache.ReserveAsync("k", source.Token).AsTask();
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reserving.WaitAsync(Support.Patience));
        Assert.Equal(1, Support.Live().Pending);
        _server.Signal(WireServer.Continue);
        // A reservation lives for minutes: this ends earlier only if it was aborted.
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var looked = await Cache.LookupAsync("k").Within();
            looked.Lease?.Dispose();
            if (looked.Kind == LookupKind.Leased)
            {
                break;
            }
            Assert.True(waited.Elapsed < Support.Patience, "still reserved");
            await Task.Delay(5);
        }
        Assert.Equal((1, 0), (Cache.Stats.Reservations, Cache.Stats.ReservationsLeft));
    }

    [Fact]
    public async Task What_comes_after_hundreds_of_cancellations_is_given_back()
    {
        const int Each = 200;
        await Cache.SetAsync("v", new string('v', 1000)).Within();
        _server.Signal(WireServer.Stop);
        using var source = new CancellationTokenSource();
        var calls = Enumerable.Range(0, Each).SelectMany(i => new Task[]
        {
            Cache.LookupAsync($"l{i}", source.Token).AsTask(),
            Cache.ReserveAsync($"r{i}", source.Token).AsTask(),
            Cache.GetAsync("v", source.Token).AsTask(),
        }).ToArray();
        Assert.Equal(calls.Length, Support.Live().Pending);
        await source.CancelAsync();
        foreach (var call in calls)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Support.Patience));
        }
        Assert.Equal(calls.Length, Support.Live().Pending);
        _server.Signal(WireServer.Continue);
        await Support.AssertNothingIsInFlightAsync();
        // Every one was granted, and is over; neither lease nor reservation has expired by then.
        Assert.Equal((Each, Each, 0), (Cache.Stats.Leases, Cache.Stats.Reservations, Cache.Stats.ReservationsLeft));
        for (var i = 0; i < Each; i++)
        {
            foreach (var key in new[] { $"l{i}", $"r{i}" })
            {
                var looked = await Cache.LookupAsync(key).Within();
                looked.Lease?.Dispose();
                Assert.Equal(LookupKind.Leased, looked.Kind);
            }
        }
    }

    [Fact]
    public async Task Calls_in_flight_end_when_the_server_dies()
    {
        var reservation = await Cache.ReserveAsync("r").Within();
        _server.Signal(WireServer.Stop);
        var lookups = Enumerable.Range(0, 50).Select(i => Cache.LookupAsync($"k{i}").AsTask()).ToArray();
        var reserving = Cache.ReserveAsync("other").AsTask();
        var commit = reservation.CommitAsync(Support.Bytes("x")).AsTask();
        var fill = Cache.GetOrFillAsync("f", _ => ValueTask.FromResult("from the source")).AsTask();
        _server.Kill();
        foreach (var lookup in lookups)
        {
            var looked = await lookup.WaitAsync(Support.Patience);
            Assert.Equal((LookupKind.Bypass, BypassReason.Unreachable), (looked.Kind, looked.Bypass));
        }
        await Assert.ThrowsAsync<GenfenceStoreException>(() => reserving.WaitAsync(Support.Patience));
        Assert.Equal(CommitOutcome.InDoubt, await commit.WaitAsync(Support.Patience));
        Assert.Equal("from the source", await fill.WaitAsync(Support.Patience));
        reservation.Dispose();
    }
}

/// <summary>The same where threads of the native library's own do its work, instead of the one that takes completions.</summary>
public sealed class WireWithThreadsTests : WireTests
{
    protected override int WorkerThreads => 2;
}
