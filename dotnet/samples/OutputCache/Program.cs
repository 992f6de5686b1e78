// Output caching of ASP.NET Core on genfence: whole pages are cached, and none is served that is from before a change.
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run --project dotnet/samples/OutputCache
//
// On a cluster: dotnet run … -- "aerospike://127.0.0.1:3000/test/cache?tags=true"
//
// It plays the race by itself: a page is being rendered, with the old price, when the price changes. With another store that page is
// stored after the change, and served until it expires.
using Genfence;
using Microsoft.AspNetCore.OutputCaching;

var builder = WebApplication.CreateSlimBuilder();
builder.WebHost.UseUrls("http://127.0.0.1:0");
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Services.AddGenfence(args.Length > 0 ? args[0] : "memory://?tags=true");
builder.Services.AddOutputCache(options => options.AddPolicy("hats", policy => policy.Tag("hats").Expire(TimeSpan.FromMinutes(5))));
builder.Services.AddGenfenceOutputCache(); // In the place of the store of the process's own.

var price = 10; // What a database has.
var renders = 0;
TaskCompletionSource reading = new(), goOn = new();

await using var app = builder.Build();
app.UseOutputCache();
app.MapGet("/hats", async () =>
{
    var read = price;
    if (Interlocked.Increment(ref renders) == 1)
    {
        reading.SetResult();
        await goOn.Task; // It takes a while to render.
    }
    return $"hats from {read}";
}).CacheOutput("hats");

// A change of the price. From the reservation of the tag to the commit no page that bears it is served or stored.
app.MapPut("/hats/price/{cents:int}", async (int cents, GenfenceCache cache) =>
    $"{await cache.UpdateTagAsync("hats", (_, _) =>
    {
        price = cents; // UPDATE products SET price = … WHERE kind = 'hat'; COMMIT
        return ValueTask.FromResult(SourceResult.Changed());
    })}");

// Where a change is known of only afterwards, as everywhere in ASP.NET Core.
app.MapPost("/hats/evict", async (IOutputCacheStore store, CancellationToken cancellation) =>
    await store.EvictByTagAsync("hats", cancellation));
await app.StartAsync();
using var client = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };

var first = client.GetStringAsync(new Uri("/hats", UriKind.Relative));
await reading.Task;
using var changed = await client.PutAsync(new Uri("/hats/price/20", UriKind.Relative), null);
goOn.SetResult();
var old = await first;
Console.WriteLine($"asked before the change: {old}, rendered while the price changed ({await changed.Content.ReadAsStringAsync()})");

var page = await HatsAsync();
Console.WriteLine($"asked after it: {page}, though the old page was done later");

// Soon it is stored, and rendered no more.
int before;
do
{
    before = renders;
    page = await HatsAsync();
}
while (renders > before);
Console.WriteLine($"from the cache: {page}");

using var evicted = await client.PostAsync(new Uri("/hats/evict", UriKind.Relative), null);
page = await HatsAsync();
Console.WriteLine($"evicted, and rendered anew: {page}");
return (old, page, renders > before) == ("hats from 10", "hats from 20", true) ? 0 : 1;

async Task<string> HatsAsync()
{
    var page = await client.GetStringAsync(new Uri("/hats", UriKind.Relative));
    return page == "hats from 20" ? page : throw new InvalidOperationException($"a stale page was served: {page}");
}
