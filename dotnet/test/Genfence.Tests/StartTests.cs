using Genfence.Extensions.Caching;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Genfence.Tests;

/// <summary>A host whose cluster is not there when it starts.</summary>
public sealed class StartTests : IAsyncLifetime
{
    private readonly WireServer _server = new();
    private readonly Lines _lines = new();

    public ValueTask InitializeAsync() => _server.InitializeAsync();

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        await Support.AssertNothingIsAliveAsync();
    }

    private ServiceProvider Provider(Action<GenfenceServiceOptions> configure) => new ServiceCollection()
        .AddSingleton<ILoggerFactory>(_lines)
        .AddGenfence($"aerospike://{_server.Address}/test/cache?connect_timeout=300ms&timeout=100ms", configure)
        .BuildServiceProvider();

    private static Task StartAsync(ServiceProvider provider) =>
        Task.WhenAll(provider.GetServices<IHostedService>().Select(service => service.StartAsync(default))).WaitAsync(Support.Patience);

    [Fact]
    public async Task A_host_starts_without_its_cache_and_uses_it_when_it_is_there()
    {
        _server.Signal(WireServer.Stop);
        await using var provider = Provider(options => options.StartTimeout = TimeSpan.FromMilliseconds(200));
        await StartAsync(provider);
        Assert.Single(_lines.Written, line => line.Contains("starts without its cache", StringComparison.Ordinal));
        var cache = provider.GetRequiredService<GenfenceCache>();
        // 40 requests, which wait for nothing but the source.
        var values = await Task.WhenAll(Enumerable.Range(0, 40).Select(i =>
            cache.GetOrFillAsync($"k{i}", _ => ValueTask.FromResult("from the source")).AsTask())).WaitAsync(Support.Patience);
        Assert.All(values, value => Assert.Equal("from the source", value));
        await Assert.ThrowsAsync<GenfenceStoreException>(() => cache.ReserveAsync("k").Within());
        _server.Signal(WireServer.Continue);
        await cache.ReadyAsync(Support.Patience).Within();
        using var reservation = await cache.ReserveAsync("k").Within();
        await reservation.AbortAsync();
    }

    [Fact]
    public async Task A_host_that_requires_its_cache_does_not_start_without()
    {
        _server.Signal(WireServer.Stop);
        await using var provider = Provider(options =>
        {
            options.StartTimeout = TimeSpan.FromMilliseconds(200);
            options.RequireAtStart = true;
        });
        var problem = await Assert.ThrowsAsync<GenfenceStoreException>(() => StartAsync(provider));
        Assert.Contains("connecting", problem.Message, StringComparison.Ordinal);
        _server.Signal(WireServer.Continue);
    }

    [Fact]
    public async Task A_host_whose_cache_is_there_starts_with_it()
    {
        await using var provider = Provider(options => options.StartTimeout = Support.Patience);
        await StartAsync(provider);
        Assert.DoesNotContain(_lines.Written, line => line.Contains("starts without", StringComparison.Ordinal));
        await provider.GetRequiredService<GenfenceCache>().SetAsync("k", "v").Within();
    }

    [Fact]
    public async Task Waiting_out_of_bounds_is_refused()
    {
        await using var cache = await GenfenceCache.ConnectAsync("memory://");
        await cache.ReadyAsync(TimeSpan.Zero);
        foreach (var within in new[] { TimeSpan.FromTicks(-1), TimeSpan.FromHours(2) })
        {
            var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => cache.ReadyAsync(within).AsTask());
            Assert.Equal("within", refused.Field);
        }
    }
}
