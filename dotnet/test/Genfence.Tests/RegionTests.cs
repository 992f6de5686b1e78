namespace Genfence.Tests;

/// <summary>Two regions, each with a server of its own: how a reservation stands in each.</summary>
public class RegionTests : IAsyncLifetime
{
    private readonly WireServer _eu = new(), _us = new();

    private string Peers => $"eu@{_eu.Address},us@{_us.Address}";

    public async ValueTask InitializeAsync()
    {
        await _eu.InitializeAsync();
        await _us.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _eu.DisposeAsync();
        await _us.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    private static GenfenceOptions Options(string region, string peers) => new()
    {
        Region = region,
        Peers = peers,
        Fence = Fence.All,
        Timeout = TimeSpan.FromSeconds(2),
        Attempts = 1,
        ClusterGuardTime = TimeSpan.FromSeconds(10),
    };

    private static Task<GenfenceCache> OpenAsync(WireServer server, GenfenceOptions options) =>
        GenfenceCache.ConnectAsync($"aerospike://{server.Address}/test/cache", options);

    [Fact]
    public async Task A_writer_reserves_in_every_region()
    {
        var us = await OpenAsync(_us, Options("us", Peers));
        await using (var eu = await OpenAsync(_eu, Options("eu", Peers)))
        {
            await us.SetAsync("k", "old").Within();
            using var reservation = await eu.ReserveAsync("k").Within();
            Assert.Equal(
                [new FencedRegion("eu", RegionOutcome.Fenced), new FencedRegion("us", RegionOutcome.Fenced)],
                reservation.Regions);
            Assert.Equal(BypassReason.Reserved, (await us.LookupAsync("k").Within()).Bypass);
            Assert.Equal(CommitOutcome.Stored, await reservation.CommitAsync(Support.Bytes("new")).Within());
        }
        // Once that is disposed of, the other region was told.
        Assert.Equal("new", await us.GetOrFillAsync("k", _ => ValueTask.FromResult("new")).Within());
        await us.DisposeAsync();
    }

    [Fact]
    public async Task A_region_that_does_not_answer_may_be_left_out()
    {
        var options = Options("eu", Peers);
        options.Unreachable = UnreachableRegion.Proceed;
        await using var eu = await OpenAsync(_eu, options);
        _us.Kill();
        using var reservation = await eu.ReserveAsync("k").Within();
        Assert.True(reservation.IsHeld);
        Assert.Equal(new FencedRegion("us", RegionOutcome.LeftOut), reservation.Regions[1]);
        Assert.Equal(1L, eu.Stats.RegionsLeftOut);
        await reservation.AbortAsync().Within();
    }

    [Fact]
    public async Task A_region_that_does_not_answer_keeps_the_source_as_it_is()
    {
        await using var eu = await OpenAsync(_eu, Options("eu", Peers));
        _us.Kill();
        var error = await Assert.ThrowsAsync<GenfenceStoreException>(async () => await eu.UpdateAsync<string>(
            "k", (_, _) => throw new InvalidOperationException("the source must not be changed")).Within());
        Assert.Contains("region us: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Where_there_is_one_region_there_are_none_to_tell_of()
    {
        await using var cache = await GenfenceCache.ConnectAsync("memory://");
        using var reservation = await cache.ReserveAsync("k").Within();
        Assert.Empty(reservation.Regions);
        await reservation.AbortAsync().Within();
        var error = await Assert.ThrowsAsync<GenfenceInvalidException>(
            async () => await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { Fence = Fence.All }));
        Assert.Equal("fence", error.Field);
    }

    private static string ByFirstByte(ReadOnlySpan<byte> key) => key[0] switch
    {
        (byte)'!' => throw new InvalidOperationException("on purpose"),
        (byte)'#' => new string('x', 100),
        (byte)'?' => "mars",
        (byte)'u' => "us",
        _ => "eu",
    };

    private GenfenceOptions AtHome(string region, bool byFunction)
    {
        var options = Options(region, Peers);
        options.Fence = Fence.Home;
        if (byFunction)
        {
            options.UseHome("by-first-byte", ByFirstByte);
        }
        return options;
    }

    [Fact]
    public async Task A_key_is_read_and_changed_at_its_home_alone()
    {
        await using var eu = await OpenAsync(_eu, AtHome("eu", byFunction: false));
        await using var us = await OpenAsync(_us, AtHome("us", byFunction: false));
        var homes = new HashSet<string>();
        for (var number = 0; number < 20; number++)
        {
            var key = $"user:{number}";
            Assert.Equal("old", await eu.GetOrFillAsync(key, _ => ValueTask.FromResult("old")).Within());
            using var reservation = await us.ReserveAsync(key).Within();
            var fenced = Assert.Single(reservation.Regions);
            Assert.Equal(RegionOutcome.Fenced, fenced.Outcome);
            _ = homes.Add(fenced.Region);
            Assert.Equal(BypassReason.Reserved, (await eu.LookupAsync(key).Within()).Bypass);
            Assert.Equal(CommitOutcome.Stored, await reservation.CommitAsync(Support.Bytes("new")).Within());
            Assert.Equal("new", await eu.GetOrFillAsync(key, _ => ValueTask.FromResult("old")).Within());
        }
        Assert.Equal(2, homes.Count);
        Assert.Equal(20L, us.Stats.CommitsStored);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_function_of_the_programs_says_where_a_key_is_at_home(int workerThreads)
    {
        var options = AtHome("eu", byFunction: true);
        options.WorkerThreads = workerThreads;
        await using (var eu = await OpenAsync(_eu, options))
        {
            foreach (var (key, home) in new[] { ("u1", "us"), ("e1", "eu") })
            {
                using var reservation = await eu.ReserveAsync(key).Within();
                Assert.Equal(home, Assert.Single(reservation.Regions).Region);
                await reservation.AbortAsync().Within();
                Assert.Equal(home, await eu.GetOrFillAsync(key, _ => ValueTask.FromResult(home)).Within());
                Assert.Equal(home, await eu.GetOrFillAsync(key, _ => ValueTask.FromResult("other")).Within());
            }
            foreach (var key in new[] { "!", "#", "?" })
            {
                var errors = new[]
                {
                    await Assert.ThrowsAsync<GenfenceInvalidException>(async () => await eu.ReserveAsync(key).Within()),
                    await Assert.ThrowsAsync<GenfenceInvalidException>(async () => await eu.LookupAsync(key).Within()),
                    await Assert.ThrowsAsync<GenfenceInvalidException>(async () => await eu.InvalidateAsync(key).Within()),
                    await Assert.ThrowsAsync<GenfenceInvalidException>(
                        async () => await eu.GetOrFillAsync(key, _ => ValueTask.FromResult("v")).Within()),
                };
                Assert.All(errors, error => Assert.Equal("home", error.Field));
            }
        }
        // Who finds homes otherwise would fence elsewhere.
        var refused = await Assert.ThrowsAsync<GenfenceStoreException>(
            async () => await OpenAsync(_eu, AtHome("eu", byFunction: false)));
        Assert.Contains("homes=by-first-byte", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_function_where_keys_have_no_homes_is_refused()
    {
        var options = new GenfenceOptions();
        options.UseHome("by-first-byte", ByFirstByte);
        var refused = Assert.Throws<GenfenceInvalidException>(() => GenfenceCache.Check("memory://", options));
        Assert.Equal("home", refused.Field);
        var error = await Assert.ThrowsAsync<GenfenceInvalidException>(
            async () => await GenfenceCache.ConnectAsync("memory://", options));
        Assert.Equal("home", error.Field);
        _ = Assert.Throws<ArgumentNullException>(() => options.UseHome(null!, ByFirstByte));
        _ = Assert.Throws<ArgumentNullException>(() => options.UseHome("by-first-byte", null!));
    }
}
