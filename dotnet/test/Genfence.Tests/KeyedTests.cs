using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Genfence.Tests;

/// <summary>Several caches in one service provider.</summary>
public class KeyedTests
{
    [Fact]
    public async Task Caches_under_keys_share_nothing_with_each_other_nor_with_the_one_without()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Orders:Url"] = "memory://",
            ["Orders:Name"] = "the orders",
        }).Build();
        var services = new ServiceCollection().AddLogging()
            .AddGenfence("memory://").AddGenfenceHybridCache()
            .AddKeyedGenfence("users", "memory://", options => options.CloseTimeout = TimeSpan.FromSeconds(1))
            .AddKeyedGenfenceHybridCache("users").AddKeyedGenfenceDistributedCache("users")
            .AddKeyedGenfence("orders", configuration.GetSection("Orders")).AddKeyedGenfenceDistributedCache("orders");
        services.AddHealthChecks().AddGenfence().AddKeyedGenfence("users").AddKeyedGenfence("orders", "orders");
        await using (var provider = services.BuildServiceProvider())
        {
            GenfenceCache[] caches =
            [
                provider.GetRequiredService<GenfenceCache>(),
                provider.GetRequiredKeyedService<GenfenceCache>("users"),
                provider.GetRequiredKeyedService<GenfenceCache>("orders"),
            ];
            Assert.Equal(["default", "users", "the orders"], caches.Select(cache => cache.Name));
            var hybrid = provider.GetRequiredKeyedService<HybridCache>("users");
            Assert.Equal("loaded", await hybrid.GetOrCreateAsync("k", _ => ValueTask.FromResult("loaded")).AsTask().WaitAsync(Support.Patience));
            Assert.Null(await caches[0].GetAsync("k").Within());
            Assert.Equal("loaded", Support.Text(await caches[1].GetAsync("k").Within()));
            Assert.Equal(
                "here", await provider.GetRequiredService<HybridCache>().GetOrCreateAsync("k", _ => ValueTask.FromResult("here")).AsTask().WaitAsync(Support.Patience));

            var distributed = provider.GetRequiredKeyedService<IDistributedCache>("orders");
            await distributed.SetAsync("d", [1, 2, 3]).WaitAsync(Support.Patience);
            Assert.Equal([1, 2, 3], await distributed.GetAsync("d").WaitAsync(Support.Patience));
            Assert.Null(await provider.GetRequiredKeyedService<IDistributedCache>("users").GetAsync("d").WaitAsync(Support.Patience));

            await caches[1].DisposeAsync().AsTask().WaitAsync(Support.Patience);
            var report = await provider.GetRequiredService<HealthCheckService>().CheckHealthAsync().WaitAsync(Support.Patience);
            Assert.Equal(HealthStatus.Healthy, report.Entries["genfence"].Status);
            Assert.Equal(HealthStatus.Unhealthy, report.Entries["genfence:users"].Status);
            Assert.Equal(HealthStatus.Healthy, report.Entries["orders"].Status);
        }
        await Support.AssertNothingIsAliveAsync();
    }

    [Fact]
    public async Task A_host_with_a_wrong_option_does_not_start_and_says_which_caches()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddGenfence("memory://").AddKeyedGenfence("users", "redis://ada:s3cret@host");
        using var host = builder.Build();
        var refused = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync()).WaitAsync(Support.Patience);
        Assert.StartsWith("cache users: Url: it must begin with `memory://` or `aerospike://`", refused.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new ServiceCollection().AddKeyedGenfence("", "memory://"));
    }

    [Fact]
    public async Task What_was_registered_before_serves_nobody()
    {
        var services = new ServiceCollection();
        services.AddSingleton<HybridCache>(_ => throw new NotSupportedException("the one before"));
        services.AddSingleton<IDistributedCache>(_ => throw new NotSupportedException("the one before"));
        services.AddGenfence("memory://").AddGenfenceHybridCache().AddGenfenceDistributedCache();
        await using var provider = services.BuildServiceProvider();
        Assert.Equal("v", await provider.GetRequiredService<HybridCache>()
            .GetOrCreateAsync("k", _ => ValueTask.FromResult("v")).AsTask().WaitAsync(Support.Patience));
        await provider.GetRequiredService<IDistributedCache>().SetAsync("d", [1]).WaitAsync(Support.Patience);
    }
}
