using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

/// <summary>One event is one line, whichever side of the boundary sees it.</summary>
public sealed class LogTests(WireServer wire) : IClassFixture<WireServer>
{
    // What is said for debugging goes into how an event came about.
    private readonly Lines _lines = new() { Least = LogLevel.Information };

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_value_that_is_too_large_is_one_line(bool many)
    {
        var large = new byte[2 << 20];
        await using (var cache = await OpenAsync("memory://"))
        {
            var loaded = many
                ? (await cache.GetOrFillManyAsync(["k"], (_, _) => ValueTask.FromResult<IReadOnlyDictionary<string, byte[]>>(
                    new Dictionary<string, byte[]> { ["k"] = large })).Within())["k"]
                : await cache.GetOrFillAsync("k", _ => ValueTask.FromResult(large)).Within();
            Assert.Same(large, loaded);
        }
        Assert.Contains("too large", Assert.Single(_lines.Written), StringComparison.Ordinal);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_fill_that_the_store_did_not_take_is_one_line(bool many)
    {
        await using (var cache = await OpenAsync($"aerospike://{wire.Address}/test/cache?prefix={Guid.NewGuid():N}:&attempts=1"))
        {
            async ValueTask<IReadOnlyDictionary<string, string>> Load(IReadOnlyList<string> keys, CancellationToken cancellation)
            {
                await wire.OrderAsync("lose-requests 1000");
                return keys.ToDictionary(key => key);
            }
            var loaded = many
                ? (await cache.GetOrFillManyAsync(["k"], Load).Within())["k"]
                : await cache.GetOrFillAsync("k", async cancellation => (await Load(["k"], cancellation))["k"]).Within();
            Assert.Equal("k", loaded);
            await wire.OrderAsync("clear");
        }
        Assert.Single(_lines.Written);
    }

    [Fact]
    public async Task A_lookup_that_the_store_did_not_answer_is_one_line()
    {
        await using (var cache = await OpenAsync($"aerospike://{wire.Address}/test/cache?prefix={Guid.NewGuid():N}:&attempts=1"))
        {
            await wire.OrderAsync("lose-requests 1000");
            Assert.Equal("v", await cache.GetOrFillAsync("k", _ => ValueTask.FromResult("v")).Within());
            await wire.OrderAsync("clear");
        }
        Assert.Single(_lines.Written);
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_read_of_a_store_that_is_gone_is_one_line(bool many)
    {
        var server = new WireServer();
        await server.InitializeAsync();
        await using (var cache = await OpenAsync($"aerospike://{server.Address}/test/cache?attempts=1"))
        {
            server.Kill();
            if (many)
            {
                _ = await cache.GetOrFillManyAsync(["a", "b", "c"], (keys, _) =>
                    ValueTask.FromResult<IReadOnlyDictionary<string, string>>(keys.ToDictionary(key => key))).Within();
            }
            else
            {
                _ = await cache.GetOrFillAsync("a", _ => ValueTask.FromResult("v")).Within();
            }
        }
        await server.DisposeAsync();
        Assert.Single(_lines.Written);
    }

    [Fact]
    public async Task A_reservation_that_is_left_to_expire_is_one_line_at_the_level_of_debugging_too()
    {
        var lines = new Lines { Least = LogLevel.Debug };
        await using (var cache = await GenfenceCache.ConnectAsync("memory://", new GenfenceOptions { LoggerFactory = lines }))
        {
            (await cache.ReserveAsync("k").Within()).Dispose();
            while (cache.Stats.ReservationsLeft == 0)
            {
                await Task.Yield();
            }
        }
        Assert.Single(lines.Written, line => line.Contains("left to expire", StringComparison.Ordinal));
    }

    private Task<GenfenceCache> OpenAsync(string url) =>
        GenfenceCache.ConnectAsync(url, new GenfenceOptions { LoggerFactory = _lines });
}
