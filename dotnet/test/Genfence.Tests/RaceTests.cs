namespace Genfence.Tests;

/// <summary>
/// Cancellations and closings that race completions, in the ten thousands; over TCP, as what is embedded mostly completes
/// at once. Claims last for longer than the tests, so a key that is free afterwards was freed; and nothing that the native
/// library gave out may be left.
/// </summary>
public sealed class RaceTests : CacheTest
{
    private const int Callers = 16, Rounds = 300, KeysOfCaller = 50;

    private readonly WireServer _server = new();

    protected override string Url =>
        $"aerospike://{_server.Address}/test/cache?wait=0s&lease_time=1m&reservation_time=10m&timeout=5s&cluster_guard_time=10s";

    public override async ValueTask InitializeAsync()
    {
        await _server.InitializeAsync();
        await base.InitializeAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task A_lease_that_comes_to_a_cancelled_lookup_is_given_back()
    {
        await RaceAsync(Task.FromResult, async (key, cancellation) => (await Cache.LookupAsync(key, cancellation)).Lease?.Dispose());
        await AssertAllFreeAsync();
        Assert.True(Cache.Stats.Leases > Callers * Rounds / 2, $"{Cache.Stats.Leases}");
    }

    [Fact]
    public async Task A_reservation_that_comes_to_a_cancelled_reserve_is_aborted()
    {
        await RaceAsync(Task.FromResult, async (key, cancellation) =>
        {
            using var reservation = await Cache.ReserveAsync(key, cancellation);
            await reservation.AbortAsync(CancellationToken.None);
        });
        await AssertAllFreeAsync();
        Assert.Equal((Callers * Rounds, 0), (Cache.Stats.Reservations, Cache.Stats.ReservationsLeft));
    }

    [Fact]
    public async Task A_fill_and_a_release_that_nobody_waits_for_use_up_what_they_name()
    {
        await RaceAsync(
            async key => (
                (await Cache.LookupAsync(key)).Lease is { } lease ? lease : (IDisposable)await Cache.ReserveAsync(key)),
            async (claim, cancellation) =>
            {
                using (claim)
                {
                    _ = claim is Lease lease
                        ? (int)await lease.FillAsync(Support.Bytes("filled"), cancellationToken: cancellation)
                        : (int)await ((Reservation)claim).ReleaseAsync(cancellationToken: cancellation);
                }
            },
            Rounds / 2);
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
        Assert.True(Cache.Stats is { FillsStored: > Callers * Rounds / 8, Purges: > Callers * Rounds / 8 }, $"{Cache.Stats}");
        for (var i = 0; i < Callers * KeysOfCaller; i++)
        {
            await Cache.InvalidateAsync(KeyOf(i / KeysOfCaller, i)).Within();
        }
        await AssertAllFreeAsync();
    }

    [Fact]
    public async Task Hundreds_in_flight_end_with_their_cache_again_and_again()
    {
        const int Times = 60, InFlight = 500;
        int done = 0, ended = 0;
        for (var time = 0; time < Times; time++)
        {
            var cache = await GenfenceCache.ConnectAsync(
                "memory://?wait=1m&lease_time=1m&max_bytes=4MiB", new GenfenceOptions { CloseTimeout = TimeSpan.FromMilliseconds(time % 2) });
            using var held = (await cache.LookupAsync("held").Within()).Lease!;
            var calls = Enumerable.Range(0, InFlight).Select(i => (i % 5) switch
            {
                // Two of five wait for the fill of what is held.
                0 => Freed(cache.LookupAsync("held")),
                1 => cache.GetOrFillAsync("held", _ => ValueTask.FromResult("source")).AsTask(),
                2 => Freed(cache.LookupAsync($"k{i}")),
                3 => Freed(cache.ReserveAsync($"r{i % 50}")),
                _ => cache.SetAsync($"s{i}", "value").AsTask(),
            }).ToArray();
            await cache.DisposeAsync().Within();
            // No call is left that has not ended.
            await Task.WhenAll(calls).WaitAsync(Support.Patience)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            foreach (var call in calls)
            {
                Assert.True(call.IsCompletedSuccessfully || call.Exception?.InnerException is GenfenceShutDownException, $"{call.Exception}");
                _ = call.IsCompletedSuccessfully ? done++ : ended++;
            }
        }
        Assert.Equal(Times * InFlight, done + ended);
        Assert.True(ended >= Times * InFlight * 2 / 5, $"{done} done, {ended} ended");
    }

    private static async Task Freed(ValueTask<LookupResult> lookup) => (await lookup).Lease?.Dispose();

    private static async Task Freed(ValueTask<Reservation> reserve) => (await reserve).Dispose();

    /// <summary>Every other call is cancelled, some at once and some a little later. Both must happen.</summary>
    private static async Task RaceAsync<T>(
        Func<string, Task<T>> prepare, Func<T, CancellationToken, Task> call, int rounds = Rounds)
    {
        int cancelled = 0, done = 0;
        await Task.WhenAll(Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
        {
            var random = new Random(caller);
            for (var round = 0; round < rounds; round++)
            {
                using var source = new CancellationTokenSource();
                var running = call(await prepare(KeyOf(caller, round)), source.Token);
                if (round % 2 == 0)
                {
                    Thread.SpinWait(random.Next(20_000));
                    source.Cancel();
                }
                await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (running.IsCanceled)
                {
                    Interlocked.Increment(ref cancelled);
                }
                else
                {
                    await running;
                    Interlocked.Increment(ref done);
                }
            }
        }))).WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal(Callers * rounds, done + cancelled);
        Assert.True(cancelled > Callers * rounds / 100 && done > Callers * rounds / 3, $"{cancelled} cancelled, {done} done");
        await Support.AssertNothingIsInFlightAsync();
    }

    private async Task AssertAllFreeAsync()
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        for (var i = 0; i < Callers * KeysOfCaller; i++)
        {
            // A lease is given back in the background.
            while (true)
            {
                var looked = await Cache.LookupAsync(KeyOf(i / KeysOfCaller, i)).Within();
                looked.Lease?.Dispose();
                if (looked.Kind == LookupKind.Leased)
                {
                    break;
                }
                Assert.True(waited.Elapsed < Support.Patience, $"still {looked.Bypass}");
                await Task.Delay(1);
            }
        }
    }

    private static string KeyOf(int caller, int number) => $"k{caller}:{number % KeysOfCaller}";
}
