using System.Buffers;
using BenchmarkDotNet.Attributes;
using BitFaster.Caching.Lru;
using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Caching.Memory;
using Microsoft.Extensions.DependencyInjection;
using ZiggyCreatures.Caching.Fusion;

namespace Genfence.Bench;

[MemoryDiagnoser]
public class Hits
{
    private const string Key = "user:1";
    private readonly byte[] _value = new byte[100];
    private readonly ArrayBufferWriter<byte> _target = new(100);
    private readonly ServiceProvider _services;
    private readonly ServiceProvider _microsoft;
    private readonly GenfenceCache _genfence;
    private readonly ServiceProvider _nearServices;
    private readonly GenfenceCache _near;
    private readonly HybridCache _nearHybrid;
    private readonly HybridCache _genfenceHybrid;
    private readonly HybridCache _hybrid;
    private readonly FusionCache _fusion = new(new FusionCacheOptions());
    private readonly MemoryCache _memory = new(new MemoryCacheOptions());
    private readonly ConcurrentLru<string, byte[]> _lru = new(1000);

    public Hits()
    {
        var services = new ServiceCollection();
        services.AddGenfence("memory://");
        services.AddGenfenceHybridCache();
        _services = services.BuildServiceProvider();
        _genfence = _services.GetRequiredService<GenfenceCache>();
        _genfenceHybrid = _services.GetRequiredService<HybridCache>();
        services = new ServiceCollection();
        services.AddGenfence(Environment.GetEnvironmentVariable("GENFENCE_NEAR_URL") ?? "memory://?near=1s");
        services.AddGenfenceHybridCache();
        _nearServices = services.BuildServiceProvider();
        _near = _nearServices.GetRequiredService<GenfenceCache>();
        _nearHybrid = _nearServices.GetRequiredService<HybridCache>();
        services = new ServiceCollection();
        services.AddHybridCache();
        _microsoft = services.BuildServiceProvider();
        _hybrid = _microsoft.GetRequiredService<HybridCache>();
    }

    [GlobalSetup]
    public async Task Fill()
    {
        await _genfence.SetBytesAsync(Key, _value);
        await Hybrid("hybrid", _genfenceHybrid);
        await Hybrid("hybrid", _hybrid);
        for (var i = 0; i < 100; i++)
        {
            await Text(_near);
            await Text(_nearHybrid);
            await Text(_hybrid);
        }
        _fusion.Set(Key, _value);
        _memory.Set(Key, _value);
        _lru.AddOrUpdate(Key, _value);
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _fusion.Dispose();
        _memory.Dispose();
        _services.Dispose();
        _nearServices.Dispose();
        _microsoft.Dispose();
    }

    [Benchmark(Baseline = true, Description = "genfence GetOrFillAsync, read in place")]
    public ValueTask<int> GenfenceInPlace() =>
        _genfence.GetOrFillAsync(Key, this, static (self, _) => Miss<int>(), Length.Instance);

    [Benchmark(Description = "genfence TryGetAsync, into a writer")]
    public ValueTask<bool> GenfenceWriter()
    {
        _target.ResetWrittenCount();
        return _genfence.TryGetAsync(Key, _target);
    }

    [Benchmark(Description = "genfence GetOrFillAsync, byte[]")]
    public ValueTask<byte[]?> GenfenceBytes() =>
        _genfence.GetOrFillAsync(Key, this, static (self, _) => Miss<byte[]>());

    [Benchmark(Description = "genfence as HybridCache, byte[]")]
    public ValueTask<byte[]> GenfenceHybrid() => Hybrid("hybrid", _genfenceHybrid);

    [Benchmark(Description = "Microsoft's HybridCache, byte[]")]
    public ValueTask<byte[]> MicrosoftHybrid() => Hybrid("hybrid", _hybrid);

    [Benchmark(Description = "FusionCache, byte[]")]
    public ValueTask<byte[]> Fusion() => _fusion.GetOrSetAsync<byte[]>(Key, (_, _) => Miss<byte[]>().AsTask());

    [Benchmark(Description = "MemoryCache, byte[]")]
    public byte[]? Memory() => _memory.Get<byte[]>(Key);

    [Benchmark(Description = "BitFaster ConcurrentLru, byte[]")]
    public bool Lru() => _lru.TryGet(Key, out _);

    [Benchmark(Description = "genfence GetOrFillAsync, a shared object")]
    public ValueTask<string?> NearText() => Text(_near);

    [Benchmark(Description = "genfence as HybridCache, a shared object")]
    public ValueTask<string> NearHybridText() => Text(_nearHybrid);

    [Benchmark(Description = "Microsoft's HybridCache, a shared object")]
    public ValueTask<string> MicrosoftText() => Text(_hybrid);

    private static ValueTask<string?> Text(GenfenceCache cache) =>
        cache.GetOrFillAsync("text", 0, static (_, _) => ValueTask.FromResult("some text"));

    private static ValueTask<string> Text(HybridCache cache) =>
        cache.GetOrCreateAsync("text", 0, static (_, _) => ValueTask.FromResult("some text"));

    private ValueTask<byte[]> Hybrid(string key, HybridCache cache) =>
        cache.GetOrCreateAsync(key, _value, static (value, _) => ValueTask.FromResult(value));

    private static ValueTask<T> Miss<T>() => throw new InvalidOperationException("a miss");

    private sealed class Length : IGenfenceSerializer<int>
    {
        public static readonly Length Instance = new();

        public void Serialize(int value, IBufferWriter<byte> target) => throw new NotSupportedException();

        public int Deserialize(ReadOnlySpan<byte> bytes) => bytes.Length;
    }
}
