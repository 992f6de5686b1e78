// FusionCache with genfence as its second level, shared by two of them as by two processes:
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run --project dotnet/samples/FusionCache
//
// On a cluster: dotnet run … -- aerospike://127.0.0.1:3000/test/cache
//
// What is promised then: what FusionCache promises, and not genfence's guarantee. FusionCache keeps a copy in each
// process, and its writes to the second level ask no source. So another process serves the old value until its copy
// expires, which is shown below; a backplane makes that shorter, not impossible. Where a value must never be stale,
// use UpdateAsync and HybridCache, as the sample WebApi does. What to set so that FusionCache keeps no copy, and what is
// promised then, is in docs/fusioncache.md.
using System.Text.Json;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using ZiggyCreatures.Caching.Fusion;
using ZiggyCreatures.Caching.Fusion.Serialization;

var url = args.Length > 0 ? args[0] : "memory://?ttl=5m";
await using var services = new ServiceCollection()
    .AddGenfence(url).AddGenfenceDistributedCache().BuildServiceProvider();
var second = services.GetRequiredService<IDistributedCache>();
using var one = Make(second);
using var other = Make(second);
await one.RemoveAsync("user:1");

// Read. The other one finds in the second level what the first one left there.
var name = "Ada";
var selects = 0;
var first = await one.GetOrSetAsync("user:1", _ => SelectName());
var shared = await other.GetOrSetAsync("user:1", _ => SelectName());
Console.WriteLine($"read by both: {first}, {shared}; asked the database {selects} time(s)");

// Change. The one who changes it has the new value; the other one has a copy in its process, and serves that.
name = "Grace";
await one.SetAsync("user:1", name);
var changed = await one.GetOrSetAsync("user:1", _ => SelectName());
var copy = await other.GetOrSetAsync("user:1", _ => SelectName());
Console.WriteLine($"changed to {changed}; the other one's copy: {copy}, which is stale");

// Without a copy it reads the second level, which has the new value.
using var third = Make(second);
var last = await third.GetOrSetAsync("user:1", _ => SelectName());
Console.WriteLine($"who has no copy: {last}; asked the database {selects} time(s)");
return (first, shared, changed, copy, last, selects) == ("Ada", "Ada", "Grace", "Ada", "Grace", 1) ? 0 : 1;

Task<string> SelectName()
{
    selects++;
    return Task.FromResult(name);
}

static FusionCache Make(IDistributedCache second)
{
    var options = new FusionCacheOptions { DefaultEntryOptions = { Duration = TimeSpan.FromMinutes(1) } };
    var cache = new FusionCache(options);
    cache.SetupDistributedCache(second, new JsonText());
    return cache;
}

/// <summary>In programs of yours: the package ZiggyCreatures.FusionCache.Serialization.SystemTextJson.</summary>
internal sealed class JsonText : IFusionCacheSerializer
{
    public byte[] Serialize<T>(T? obj) => JsonSerializer.SerializeToUtf8Bytes(obj);

    public T? Deserialize<T>(byte[] data) => JsonSerializer.Deserialize<T>(data);

    public ValueTask<byte[]> SerializeAsync<T>(T? obj, CancellationToken token = default) => new(Serialize(obj));

    public ValueTask<T?> DeserializeAsync<T>(byte[] data, CancellationToken token = default) =>
        new(Deserialize<T>(data));
}
