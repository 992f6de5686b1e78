// A web API whose reads come from the cache and whose changes go through it; nothing to install:
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run --project dotnet/samples/WebApi
//
// Settings stand in appsettings.json; the environment goes first, such as Genfence__Url or ConnectionStrings__Postgres.
using System.Text.Json;
using Genfence;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Shop;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddDbContext<ShopContext>(ShopContext.Choose);
builder.Services.AddGenfence(builder.Configuration.GetSection("Genfence")).AddGenfenceHybridCache();
builder.Services.AddHealthChecks().AddGenfence();
builder.Services.AddSingleton<Metrics>();

// What is wrong in a request is named in the answer.
builder.Services.AddValidation();
builder.Services.ConfigureHttpJsonOptions(options =>
{
    options.SerializerOptions.RespectNullableAnnotations = true;
    options.SerializerOptions.RespectRequiredConstructorParameters = true;
});
builder.Services.Configure<RouteHandlerOptions>(options => options.ThrowOnBadRequest = true);
builder.Services.AddProblemDetails(options => options.CustomizeProblemDetails = context =>
    context.ProblemDetails.Detail = context.Exception switch
    {
        BadHttpRequestException { InnerException: JsonException json } => json.Message,
        BadHttpRequestException bad => bad.Message,
        { } problem when Refusal(problem) is { } refused => refused.Message,
        _ => context.ProblemDetails.Detail,
    });

var app = builder.Build();
app.UseExceptionHandler(new ExceptionHandlerOptions
{
    StatusCodeSelector = problem => problem switch
    {
        BadHttpRequestException bad => bad.StatusCode,
        _ when Refusal(problem) is not null => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    },
    SuppressDiagnosticsCallback = context => context.Exception is BadHttpRequestException,
});
app.MapProducts();
app.MapHealthChecks("/health", new HealthCheckOptions
{
    ResponseWriter = (context, report) => context.Response.WriteAsJsonAsync(new
    {
        Status = $"{report.Status}",
        Checks = report.Entries.ToDictionary(
            check => check.Key,
            check => new { Status = $"{check.Value.Status}", check.Value.Description, check.Value.Data }),
    }),
});
app.MapGet("/metrics", app.Services.GetRequiredService<Metrics>().Scrape); // Made now, as it counts from then on.

if (await Startup.OpenAsync(app.Services) is { } wrong)
{
    await Console.Error.WriteLineAsync(wrong);
    return 1;
}
await app.RunAsync();
return 0;

// The key could not be reserved, or the time was over: nothing was changed, so it can be tried again. EF Core wraps what fails a save.
static Exception? Refusal(Exception problem) => new[] { problem, problem.InnerException }
    .FirstOrDefault(cause => cause is GenfenceStoreException or GenfenceTransactionTimeoutException);
